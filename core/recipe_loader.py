"""From a file to a checked recipe: every error at once, each with its line, its column and what would be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from animacy.core.errors import AnimacyError
from animacy.core.models import Model
from animacy.core.plugins import CHAINED_ROLES, REQUIRED_ROLES, ROLES, Plugins, Role, suggestion
from animacy.core.provider import CharacterContext, Provider, Settings
from animacy.core.recipe import LONGEST_CHAIN, VOICE_SAMPLE_RATE, Knowledge, PluginSection, Recipe, VideoSection, Vision
from animacy.core.tools.contract import Tool
from animacy.core.video.contract import Portrait
from animacy.core.video.image import load_image
from animacy.core.yaml_source import Location, Source, read_yaml

Checked = TypeVar("Checked", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Choice:
    """A provider that a recipe names, and the settings it gives."""

    role: Role
    provider: Provider
    settings: Settings


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A checked recipe with the providers it names and their validated settings, `tools` in its order.

    `chosen` does a role's work; the choices in `fallbacks` do it when that one fails.
    """

    path: Path
    recipe: Recipe
    chosen: Mapping[Role, Choice]
    tools: tuple[Choice, ...] = ()
    fallbacks: Mapping[Role, tuple[Choice, ...]] = field(default_factory=dict)

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
        character, limits, knowledge = self.recipe.character, self.recipe.limits, self.recipe.knowledge
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
            folder=self.folder,
            unknown=knowledge.unknown if knowledge is not None else None,
        )

    @property
    def choices(self) -> list[Choice]:
        """Everything that was chosen."""
        return [choice for role in self.chosen for choice in self.chain(role)] + list(self.tools)

    def chain(self, role: Role) -> tuple[Choice, ...]:
        """Who does a role's work, and who does it when that one fails."""
        return (self.chosen[role], *self.fallbacks.get(role, ()))

    def models(self, role: Role) -> Sequence[Model]:
        """The model files that a role's choices need."""
        return [model for choice in self.chain(role) for model in choice.provider.models(choice.settings)]

    def with_choice(self, role: Role, provider: Provider, settings: Settings) -> LoadedRecipe:
        """The same with another choice for a role, and no fallback."""
        chosen = {**self.chosen, role: Choice(role, provider, settings)}
        return replace(self, chosen=chosen, fallbacks={**self.fallbacks, role: ()})

    def create(self, choice: Role | Choice, *, tools: Sequence[Tool] = ()) -> Any:
        """Make what does a job for this character; the llm is told of its `tools`.

        The character's voice is one of the first tts of a list: the others do not know it.
        """
        if isinstance(choice, str):
            choice = self.chosen[choice]
        context = replace(self.context(), tools=tuple(tools))
        if any(choice is fallback for fallback in self.fallbacks.get(choice.role, ())):
            context = replace(context, voice=None)
        return choice.provider.create(choice.settings, context)


def load_recipe(path: Path, plugins: Plugins) -> LoadedRecipe:
    """Read and check a recipe. Raises InvalidRecipeError with everything that is wrong in it."""
    source = read_yaml(path)
    recipe = _validate(source, Recipe, source.data, ())
    choices = list(_choose(source, plugins))
    _check_image(source)
    source.raise_problems()
    assert recipe is not None
    roles: dict[Role, list[Choice]] = {}
    for choice in choices:
        roles.setdefault(choice.role, []).append(choice)
    tools = tuple(roles.pop("tool", ()))
    chosen = {role: chain[0] for role, chain in roles.items()}
    fallbacks = {role: tuple(chain[1:]) for role, chain in roles.items() if len(chain) > 1}
    return LoadedRecipe(path.resolve(), recipe, chosen, tools, fallbacks)


def recipe_schema(plugins: Plugins) -> dict[str, Any]:
    """The JSON Schema of recipes, with the settings of every installed plugin, for editors."""
    schema = Recipe.model_json_schema()
    definitions = schema["$defs"]
    for role in ROLES:
        section = definitions.pop(SECTIONS[role].__name__, None) or PluginSection.model_json_schema()
        choices: list[dict[str, Any]] = [{"type": "string", "enum": plugins.names(role)}]
        needs_name = SECTIONS[role] is PluginSection
        for name in plugins.names(role):
            own = plugins.settings(role, name).model_json_schema()
            definitions.update(own.pop("$defs", {}))
            properties = {**section["properties"], **own.get("properties", {})}
            properties["plugin"] = {**section["properties"]["plugin"], "const": name}
            required = sorted({*(["plugin"] if needs_name else []), *own.get("required", [])})
            choices.append(
                {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
            )
        definitions[f"{role}_plugin"] = {"anyOf": choices, "description": f"Who does the {role}."}
    for role in ROLES:
        reference: dict[str, Any] = {"$ref": f"#/$defs/{role}_plugin"}
        if role == "tool":
            schema["properties"]["tools"]["items"] = reference
        elif role in CHAINED_ROLES:
            chain = {"type": "array", "items": reference, "minItems": 1, "maxItems": LONGEST_CHAIN}
            schema["properties"][role] = {"anyOf": [reference, chain]}
        elif role != "embedding":
            schema["properties"][role] = reference
    for choice in definitions["knowledge_plugin"]["anyOf"][1:]:
        choice["properties"]["embedding"] = {"$ref": "#/$defs/embedding_plugin"}
    definitions.pop("PluginSection", None)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Animacy recipe"
    return schema


SECTIONS: Mapping[Role, type[PluginSection]] = {
    **dict.fromkeys(ROLES, PluginSection),
    "video": VideoSection,
    "knowledge": Knowledge,
    "vision": Vision,
}


def role_default(role: Role) -> str:
    """The plugin that does a required role's work when a recipe does not say."""
    default = Recipe.model_fields[role].default
    plugin: str = (default[0] if role in CHAINED_ROLES else default).plugin
    return plugin


def _choose(source: Source, plugins: Plugins) -> Iterator[Choice]:
    """The choices that are right; what is wrong with the others is noted."""
    data = source.data
    for role in REQUIRED_ROLES:
        given = data.get(role, role_default(role) if role != "video" else {})
        if role in CHAINED_ROLES and isinstance(given, list):
            for number, link in enumerate(given):
                yield from _choice(source, plugins, role, link, (role, number))
        else:
            yield from _choice(source, plugins, role, given, (role,))
    for role in ("knowledge", "vision"):
        if data.get(role) is not None:
            yield from _choice(source, plugins, role, data[role], (role,))
    knowledge = data.get("knowledge")
    if knowledge is not None:
        nested = isinstance(knowledge, dict) and "embedding" in knowledge
        given = knowledge["embedding"] if nested else Knowledge.model_fields["embedding"].default.model_dump()
        yield from _choice(
            source, plugins, "embedding", given, ("knowledge", "embedding") if nested else ("knowledge",)
        )
    tools = data.get("tools")
    for number, given in enumerate(tools if isinstance(tools, list) else ()):
        yield from _choice(source, plugins, "tool", given, ("tools", number))


def _choice(source: Source, plugins: Plugins, role: Role, given: Any, location: Location) -> Iterator[Choice]:
    try:
        section = SECTIONS[role].model_validate(given)
    except ValidationError:
        return  # already reported with the recipe as a whole
    try:
        provider = plugins.get(role, section.plugin)
    except AnimacyError as error:
        exact = (*location, "plugin") if isinstance(given, dict) and "plugin" in given else location
        source.add(exact, error.args[0], error.remedy or "")
        return
    settings = _validate(source, provider.settings, section.settings(), location)
    if settings is not None:
        yield Choice(role, provider, settings)


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
