"""Tools that act in the visitor's page: click, scroll to and highlight the elements that a recipe names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider
from animacy.core.tools.contract import Call, Tool
from animacy.core.tools.parameters import Parameter, json_schema
from animacy.core.tools.settings import ToolFlags

MESSAGE = "page-action"
"""Type of the message that the page gets."""

Action = Literal["click", "scroll_to", "highlight"]
Target = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_:.-]{0,99}$")]
PURPOSES: Mapping[Action, str] = {
    "click": "Click something in the page for the user.",
    "scroll_to": "Scroll the page to something, when the user wants to see it or asks where it is.",
    "highlight": "Highlight something in the page, to point at it while speaking of it.",
}


def _or_names_alone(schema: dict[str, Any]) -> None:
    """The short form too, for editors."""
    mapping = {key: schema.pop(key) for key in list(schema) if key not in ("title", "description")}
    schema["anyOf"] = [mapping, {"type": "array", "items": {"type": "string"}, "minItems": 1}]


class PageActionsSettings(ToolFlags):
    """What a recipe may say beside `plugin: page_actions`."""

    targets: Mapping[Target, str] = Field(
        min_length=1,
        max_length=100,
        description="ids or data-avatar-target names, each with what it is",
        json_schema_extra=_or_names_alone,
    )
    actions: tuple[Action, ...] = Field(
        ("click", "scroll_to", "highlight"), min_length=1, description="what may be done"
    )
    consequential: bool = Field(False, description="the user is asked before a click")

    @field_validator("targets", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        return dict.fromkeys(value, "") if isinstance(value, list) else value


class PageActions:
    """The actions as a tool source."""

    def __init__(self, settings: PageActionsSettings) -> None:
        self._settings = settings

    async def load(self) -> list[Tool]:
        """One tool for each action."""
        targets = self._settings.targets
        known = "; ".join(f"{name}: {meaning}" if meaning else name for name, meaning in targets.items())
        parameters = json_schema({"target": Parameter(type="string", enum=tuple(targets), description=known)})
        harmless = self._settings.model_copy(update={"consequential": False})
        return [
            (self._settings if action == "click" else harmless).make_tool(action, PURPOSES[action], parameters, _send)
            for action in dict.fromkeys(self._settings.actions)
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def _send(call: Call) -> None:
    await call.tell(MESSAGE, {"name": call.tool, "arguments": dict(call.arguments), "call": call.id})


def _create(settings: PageActionsSettings, character: CharacterContext) -> PageActions:
    return PageActions(settings)


@hookimpl
def tool_providers() -> Provider:
    """Offer `plugin: page_actions`."""
    return Provider("page_actions", PageActionsSettings, _create, summary="Click, scroll to and highlight in the page")
