"""From a file to a checked recipe: every error at once, each with its line, its column and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from animacy.core.errors import AnimacyError
from animacy.core.plugins import ROLES, Plugins, Role, suggestion
from animacy.core.provider import CharacterContext, Provider, Settings
from animacy.core.recipe import RESERVED_SECTIONS, VOICE_SAMPLE_RATE, PluginSection, Recipe
from animacy.core.video.contract import Portrait
from animacy.core.video.image import load_image
from animacy.core.yaml_source import Location, Source, read_yaml

Checked = TypeVar("Checked", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A checked recipe with the providers it names and their validated settings."""

    path: Path
    recipe: Recipe
    providers: Mapping[Role, Provider]
    settings: Mapping[Role, Settings]

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.path.parent

    @property
    def portrait(self) -> Portrait:
        """The reference picture and its anchors."""
        return self.recipe.portrait(self.folder)

    def context(self) -> CharacterContext:
        """What the providers are told of the character."""
        character, limits = self.recipe.character, self.recipe.limits
        return CharacterContext(
            name=character.name,
            language=character.language,
            voice=character.voice,
            persona=character.persona,
            examples=tuple((example.user, example.character) for example in character.examples),
            openings=character.openings,
            max_answer_tokens=limits.max_answer_tokens,
            sample_rate=VOICE_SAMPLE_RATE,
            threads=limits.threads,
            sessions=limits.sessions,
        )

    def create(self, role: Role) -> Any:
        """Make what does a job for this character."""
        return self.providers[role].create(self.settings[role], self.context())


def load_recipe(path: Path, plugins: Plugins) -> LoadedRecipe:
    """Read and check a recipe. Raises InvalidRecipeError with everything that is wrong in it."""
    source = read_yaml(path)
    for name in RESERVED_SECTIONS:
        if name in source.data:
            source.add((name,), "is not supported by this version", "Remove the section.")
            del source.data[name]
    recipe = _validate(source, Recipe, source.data, ())
    providers, settings = _validate_plugins(source, plugins)
    _check_image(source)
    source.raise_problems()
    assert recipe is not None
    return LoadedRecipe(path.resolve(), recipe, providers, settings)


def recipe_schema(plugins: Plugins) -> dict[str, Any]:
    """The JSON Schema of recipes, with the settings of every installed plugin, for editors."""
    schema = Recipe.model_json_schema()
    definitions = schema["$defs"]
    for role in ROLES:
        section = definitions.pop("VideoSection") if role == "video" else PluginSection.model_json_schema()
        choices: list[dict[str, Any]] = [{"type": "string", "enum": plugins.names(role)}]
        for name in plugins.names(role):
            own = plugins.settings(role, name).model_json_schema()
            definitions.update(own.pop("$defs", {}))
            properties = {**section["properties"], **own.get("properties", {})}
            properties["plugin"] = {**section["properties"]["plugin"], "const": name}
            required = sorted({*([] if role == "video" else ["plugin"]), *own.get("required", [])})
            choices.append(
                {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
            )
        schema["properties"][role] = {"anyOf": choices, "description": f"Who does the {role}."}
    definitions.pop("PluginSection", None)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Animacy recipe"
    return schema


def _validate_plugins(source: Source, plugins: Plugins) -> tuple[dict[Role, Provider], dict[Role, Settings]]:
    providers: dict[Role, Provider] = {}
    settings: dict[Role, Settings] = {}
    for role in ROLES:
        field = Recipe.model_fields[role]
        section_type = type(field.default)
        given = source.data.get(role, field.default.model_dump() if role != "video" else {})
        try:
            section = section_type.model_validate(given)
        except ValidationError:
            continue  # already reported with the recipe as a whole
        try:
            providers[role] = plugins.get(role, section.plugin)
        except AnimacyError as error:
            location: Location = (role, "plugin") if isinstance(given, dict) and "plugin" in given else (role,)
            source.add(location, error.args[0], error.remedy or "")
            continue
        checked = _validate(source, providers[role].settings, section.settings(), (role,))
        if checked is not None:
            settings[role] = checked
    return providers, settings


def _validate(source: Source, model: type[Checked], data: Any, prefix: Location) -> Checked | None:
    try:
        return model.model_validate(data, context={"base_dir": source.path.parent.resolve()})
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            location = (*prefix, *detail["loc"])
            if detail["type"] == "extra_forbidden":
                known = _known_keys(model, detail["loc"])
                source.add(location, "unknown key", suggestion(str(location[-1]), known))
            elif detail["type"] == "missing":
                source.add(location, "is missing", "Add it.")
            else:
                source.add(location, _plain(detail["msg"]))
        return None


def _known_keys(model: type[BaseModel], location: Location) -> list[str]:
    """The keys allowed where an unknown one was found."""
    for key in location[:-1]:
        if isinstance(key, int):
            continue
        field = model.model_fields.get(key)
        candidates = _models_in(field.annotation) if field else []
        if not candidates:
            return []
        model = candidates[0]
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def _plain(message: str) -> str:
    """Pydantic's message as part of a sentence, without its prefix."""
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _check_image(source: Source) -> None:
    character = source.data.get("character")
    image = character.get("image") if isinstance(character, dict) else None
    if not isinstance(image, str) or not image:
        return
    try:
        pixels = load_image(source.path.parent / image)
    except AnimacyError as error:
        source.add(("character", "image"), error.args[0], error.remedy or "")
        return
    anchors = character.get("anchors")
    height, width = pixels.shape[:2]
    for name, point in anchors.items() if isinstance(anchors, dict) else ():
        inside = (
            isinstance(point, list)
            and len(point) == 2
            and all(isinstance(value, int | float) for value in point)
            and not (0 <= point[0] < width and 0 <= point[1] < height)
        )
        if inside:
            source.add(
                ("character", "anchors", name), f"lies outside the image ({width}x{height})", "Use pixels of the image."
            )
