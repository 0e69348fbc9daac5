"""`animacy new-plugin`: what it makes works at once, for every role, and it spoils nothing."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from animacy.core.cli.new_plugin import ROLES, new_plugin
from animacy.core.errors import InputError
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import load_recipe
from animacy.testing import check
from tests.conftest import ROOT, animacy, environment

LINT = "E,F,W,I,UP,B,SIM,RUF,ANN,ASYNC,PTH,D1,PERF,N"


def name_of(role: str) -> str:
    return f"sample-{role}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, plugins: Plugins) -> Path:
    """A folder with a new plugin for each role."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for role in ROLES:
            new_plugin(plugins, f"sample-{role}", role)
    return folder


@pytest.fixture
def loaded(made: Path, role: str, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """All plugins and the one for this role, imported from where it was made."""
    monkeypatch.syspath_prepend(made / f"animacy-sample-{role}")
    plugins = Plugins().load()
    plugins.register(importlib.import_module(f"animacy_sample_{role}"), f"sample_{role}")
    assert plugins.loaded[-1].error is None
    return plugins


@pytest.mark.parametrize("role", ROLES)
def test_it_keeps_its_contract(loaded, role):
    check(role, f"sample_{role}", plugins=loaded).raise_if_failed()


def test_it_installs_and_passes_its_own_test(made, tmp_path):
    package = made / "animacy-sample-tool"
    python = environment(tmp_path, [package])
    command = [python, "-m", "pytest", "-q", package / "test_sample_tool.py"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("role", ROLES)
def test_the_recipe_in_its_readme_loads_and_names_every_setting(made, loaded, role, picture):
    readme = (made / f"animacy-sample-{role}" / "README.md").read_text()
    (lines,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    (picture.parent / "documents").mkdir()
    recipe = picture.parent / "recipe.yaml"
    recipe.write_text(f"character: {{name: A, image: picture.png, persona: p}}\n{lines}")
    choices = load_recipe(recipe, loaded).choices
    (settings,) = (choice.settings for choice in choices if choice.provider.name == f"sample_{role}")
    assert settings.model_fields_set == set(type(settings).model_fields)


def test_they_are_clean(made):
    for command in (
        ("ruff", "check", "--isolated", "--line-length", "120", "--select", LINT, "--ignore", "D107,ANN401"),
        ("ruff", "format", "--check", "--isolated", "--line-length", "120"),
    ):
        for package in made.iterdir():  # from within, where its own modules are its own
            result = subprocess.run([sys.executable, "-m", *command], cwd=package, capture_output=True, text=True)
            assert result.returncode == 0, result.stdout
    subprocess.run(["make", "-s", "types"], cwd=ROOT, check=True)
    result = subprocess.run(
        [sys.executable, "-m", "mypy", *made.glob("animacy-*/animacy_*")],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": "build/types"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("name", "role", "says"),
    [
        ("Touch Tones", "stt", "touch-tones"),
        ("7th", "stt", "th"),
        ("../up", "stt", "cannot be a plugin's name"),
        ("whisper", "stt", "is the name of a plugin already"),
        ("animacy-whisper", "tts", "is the name of a plugin already"),
        ("x" * 40, "stt", "too long"),
        ("fine", "sst", 'Did you mean "stt"'),
        ("fine", "transport", "no template"),
    ],
)
def test_what_cannot_be_is_refused(name, role, says, tmp_path, monkeypatch, plugins):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        new_plugin(plugins, name, role)
    assert says in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    first = animacy("new-plugin", "animacy_door_bell", "--role", "tool", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    module = tmp_path / "animacy-door-bell" / "animacy_door_bell" / "__init__.py"
    module.write_text("mine")
    again = animacy("new-plugin", "door-bell", "--role", "stt", cwd=tmp_path)
    assert again.returncode == InputError.exit_code
    assert "exists already" in again.stderr
    assert module.read_text() == "mine"
