"""YAML with a memory: plain data plus the line and column every value came from.

Only data is built: no tags, no code. The size is bounded before parsing and again while aliases are expanded, so
neither a huge file nor a small one that unfolds into a huge one gets far.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from animacy.core.errors import RecipeError

MAX_BYTES = 256 * 1024
MAX_NODES = 10_000
MAX_DEPTH = 32
ENV_PATTERN = re.compile(r"\$\{env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:\|(?P<default>[^}]*))?\}")
PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map")
}

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a recipe: where (1-based line and column), what, and what would be right."""

    line: int
    column: int
    field: str
    message: str
    remedy: str = ""

    def render(self, path: Path) -> str:
        """`file:line:column: field: message` and the remedy, the form editors make clickable."""
        where = f"{path}:{self.line}:{self.column}: "
        remedy = f"\n    {self.remedy}" if self.remedy else ""
        return f"{where}{self.field + ': ' if self.field else ''}{self.message}{remedy}"


class InvalidRecipeError(RecipeError):
    """Everything wrong in one recipe, in the order of its lines."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.path = path
        self.problems = sorted(problems, key=lambda problem: (problem.line, problem.column))
        super().__init__("\n".join([f"{path} is not right:", *(problem.render(path) for problem in self.problems)]))


@dataclass(slots=True)
class Source:
    """A parsed file: its data, where each key and value stands, and what was wrong while reading it."""

    path: Path
    data: Any = None
    marks: dict[Location, tuple[int, int]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, location: Location, message: str, remedy: str = "") -> None:
        """Note a problem at the nearest place that exists in the file; the first one of a field is enough."""
        field = ".".join(map(str, location))
        if field and any(problem.field == field for problem in self.problems):
            return
        place = location
        while place and place not in self.marks:
            place = place[:-1]
        line, column = self.marks.get(place, (1, 1))
        # Values of the environment may be secrets: an error shows the variable's name in their place.
        for name, value in self.environment.items():
            if value:
                message, remedy = (text.replace(value, f"${{env:{name}}}") for text in (message, remedy))
        self.problems.append(Problem(line, column, field, message, remedy))

    def raise_problems(self) -> None:
        """Raise InvalidRecipeError if there were any."""
        if self.problems:
            raise InvalidRecipeError(self.path, self.problems)


def read_yaml(path: Path) -> Source:
    """Read a mapping from a YAML file, with `${env:NAME|default}` replaced in its strings.

    Raises RecipeError for what cannot be read at all; what can be read but is wrong is collected in `Source.problems`.
    """
    source = Source(path)
    text = _read_text(path)
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise RecipeError(f"recipe {path} is empty", "Start with `animacy new NAME --image FILE`.")
        source.data = _Builder(source, loader).build(root, (), 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        detail = " ".join(part for part in (error.context, error.problem) if part)
        raise InvalidRecipeError(
            path, [Problem(line, column, "", f"not valid YAML: {detail}", "Check indentation and quotes.")]
        ) from None
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {path} is not valid YAML: {error}", "Save it as UTF-8 text.") from None
    except RecursionError:
        raise RecipeError(f"recipe {path} is nested too deeply", f"Nest at most {MAX_DEPTH} levels.") from None
    finally:
        loader.dispose()
    if not isinstance(source.data, dict):
        source.add((), "a recipe is a mapping of sections", "Start with `character:`.")
        source.data = {}
    return source


def _read_text(path: Path) -> str:
    if path.is_dir():
        raise RecipeError(f"recipe {path} is a directory", f"Name the file, e.g. {path / 'recipe.yaml'}.")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise RecipeError(
                f"recipe {path} is {size // 1024} KiB",
                f"A recipe holds at most {MAX_BYTES // 1024} KiB; move texts to files.",
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"recipe {path} does not exist", "Check the path, or make one with `animacy new`.") from None
    except UnicodeDecodeError:
        raise RecipeError(f"recipe {path} is not UTF-8 text", "Save it as UTF-8.") from None
    except OSError as error:
        raise RecipeError(f"recipe {path} cannot be read: {error.strerror}", "Check its permissions.") from None


class _Builder:
    """Turns YAML nodes into plain data, noting where each came from."""

    def __init__(self, source: Source, loader: yaml.SafeLoader) -> None:
        self.source, self.loader = source, loader
        self.open: set[int] = set()
        self.nodes = 0

    def build(self, node: Node, location: Location, depth: int) -> Any:
        self.source.marks.setdefault(location, (node.start_mark.line + 1, node.start_mark.column + 1))
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise RecipeError(
                f"recipe {self.source.path} unfolds to over {MAX_NODES:,} values", "Use fewer YAML aliases (`*name`)."
            )
        if id(node) in self.open:
            self.source.add(location, "refers to itself", "Remove the cyclic alias (`*name`).")
            return None
        if depth > MAX_DEPTH:
            self.source.add(location, "is nested too deeply", f"Nest at most {MAX_DEPTH} levels.")
            return None
        if node.tag not in PLAIN_TAGS:
            self.source.add(location, f"the YAML tag {node.tag} is not allowed", "A recipe holds plain data only.")
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, location)
        self.open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.build(child, (*location, index), depth + 1) for index, child in enumerate(node.value)]
            return self._mapping(node, location, depth)
        finally:
            self.open.discard(id(node))

    def _mapping(self, node: Node, location: Location, depth: int) -> dict[str, Any]:
        assert isinstance(node, MappingNode)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            place = (*location, key)
            self.source.marks[place] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in result:
                self.source.add(place, "is given twice", "Keep one of the two.")
                continue
            result[key] = self.build(value_node, place, depth + 1)
        return result

    def _scalar(self, node: ScalarNode, location: Location) -> Any:
        if node.tag == "tag:yaml.org,2002:timestamp":
            return node.value
        if node.tag != "tag:yaml.org,2002:str":
            return self.loader.construct_object(node)

        def substitute(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            value = os.environ.get(name, default)
            if value is None:
                self.source.add(
                    location,
                    f"the environment variable {name} is not set",
                    f"Set {name}, or give a default: ${{env:{name}|default}}.",
                )
                return ""
            if name in os.environ:
                self.source.environment[name] = value
            return value

        return ENV_PATTERN.sub(substitute, node.value)
