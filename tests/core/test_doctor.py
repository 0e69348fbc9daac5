"""What `animacy doctor RECIPE` measures: each choice of the recipe, loaded in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import load_recipe
from tests.conftest import RECIPES


@pytest.mark.parametrize("role", ["embedding", "tool"])
def test_a_choice_is_loaded_on_its_own(role):
    """Products that load on the event loop and such that block."""
    recipe = RECIPES / "iris" / "guide.yaml"
    choices = load_recipe(recipe, Plugins().load()).choices
    number = next(number for number, choice in enumerate(choices) if choice.role == role)
    command = [sys.executable, "-m", "animacy.core.cli.doctor", str(number), str(recipe)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["memory"] > 0 and measured["seconds"] >= 0
