"""Settings that the built-in tool plugins share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from animacy.core.errors import ToolError
from animacy.core.provider import Settings
from animacy.core.tools.contract import NAME_PATTERN, Arguments, Call, Tool
from animacy.core.tools.parameters import Parameters, json_schema
from animacy.core.tools.schema import check

FOREGROUND_TIMEOUT = 10.0
BACKGROUND_TIMEOUT = 300.0

ToolName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


class ToolExample(BaseModel):
    """Something a user might say, and the arguments that follow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: Annotated[str, Field(min_length=1, max_length=300)]
    arguments: Mapping[str, Any] = Field(default_factory=dict)


class ToolFlags(Settings):
    """How a tool is called."""

    timeout: float | None = Field(None, gt=0, le=3600, description="seconds; 10 when left out, 300 in the background")
    background: bool = Field(False, description="the conversation goes on meanwhile")
    consequential: bool = Field(False, description="the user is asked first")
    silent: bool = Field(False, description="nothing is said about the result")
    filler: str | None = Field(None, max_length=200, description="said when it takes longer than a moment")
    reply: str | None = Field(
        None, max_length=200, description="said when it went well; {name} is an argument, or a part of the result"
    )
    question: str | None = Field(
        None, max_length=200, description="what the user is asked first, if consequential; {name} is an argument"
    )

    def make_tool(
        self,
        name: str,
        description: str,
        parameters: Mapping[str, Any],
        run: Callable[[Call], Awaitable[Any]],
        examples: Sequence[tuple[str, Arguments]] = (),
    ) -> Tool:
        """A tool that is called this way."""
        return Tool(
            name,
            description,
            parameters,
            run,
            timeout=self.timeout or (BACKGROUND_TIMEOUT if self.background else FOREGROUND_TIMEOUT),
            background=self.background,
            consequential=self.consequential,
            silent=self.silent,
            filler=self.filler,
            reply=self.reply,
            question=self.question,
            examples=examples,
        )


class NamedToolSettings(ToolFlags):
    """One tool that the recipe itself describes."""

    name: ToolName = Field(description="what the model calls it: lower case letters, digits and underscores")
    description: str = Field(min_length=1, max_length=1000, description="for the model: when to use it, and what for")
    parameters: Parameters = Field(default_factory=dict, description="its arguments by name")
    examples: tuple[ToolExample, ...] = Field((), max_length=12, description="what users say, and the arguments then")

    @field_validator("parameters", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @model_validator(mode="after")
    def _examples_fit(self) -> NamedToolSettings:
        for example in self.examples:
            try:
                check(self.schema_of_parameters, example.arguments)
            except ToolError as error:
                raise ValueError(f"the example {example.user!r} does not fit: {error.args[0]}") from None
        return self

    @property
    def schema_of_parameters(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        return json_schema(self.parameters)

    def tool(self, run: Callable[[Call], Awaitable[Any]]) -> Tool:
        """The tool, done by `run`."""
        examples = [(example.user, example.arguments) for example in self.examples]
        return self.make_tool(self.name, self.description, self.schema_of_parameters, run, examples)
