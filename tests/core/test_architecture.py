"""The rules that keep the parts apart."""

from __future__ import annotations

import ast
import tomllib

import pytest

from tests.conftest import ROOT

PARTS = ("core", "plugins", "engine", "testing")


def modules(folder: str):
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path):
    """Every module name that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def plugin_of(path):
    return path.relative_to(ROOT / "plugins").parts[0]


@pytest.mark.parametrize("path", modules("core"), ids=str)
def test_core_imports_no_plugin_and_no_engine(path):
    assert not [name for name in imported(path) if name.startswith(("animacy.plugins", "animacy.engine"))]


@pytest.mark.parametrize("path", modules("testing"), ids=str)
def test_the_conformance_kit_imports_only_core_and_no_test_framework(path):
    names = list(imported(path))
    assert not [name for name in names if name.startswith(("animacy.plugins", "animacy.engine", "pytest", "tests"))]


@pytest.mark.parametrize("part", ["core", "plugins", "engine"])
def test_only_the_command_that_runs_the_kit_imports_it(part):
    users = [path for path in modules(part) if any(name.startswith("animacy.testing") for name in imported(path))]
    assert users == ([ROOT / "core" / "cli" / "conform.py"] if part == "core" else [])


@pytest.mark.parametrize("path", modules("engine"), ids=str)
def test_engine_imports_nothing_of_the_rest_but_the_errors(path):
    others = [name for name in imported(path) if name.startswith(("animacy.core", "animacy.plugins"))]
    assert not [name for name in others if not name.startswith("animacy.core.errors.")]


@pytest.mark.parametrize("path", modules("core/video"), ids=str)
def test_the_picture_knows_nothing_of_pipecat(path):
    names = list(imported(path))
    assert not [name for name in names if name.startswith(("pipecat", "animacy.core.pipeline"))]


@pytest.mark.parametrize("path", modules("plugins"), ids=str)
def test_a_plugin_imports_no_other_plugin_and_only_one_the_engine(path):
    own = plugin_of(path)
    others = [name for name in imported(path) if name.startswith("animacy.plugins.") and name.split(".")[2] != own]
    assert not others
    if own != "video_engine":
        assert not [name for name in imported(path) if name.startswith("animacy.engine")]


def test_every_folder_with_code_is_packaged():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(("animacy", *path.parent.relative_to(ROOT).parts))
        for part in PARTS
        for path in (ROOT / part).rglob("__init__.py")
    }
    assert listed == found
