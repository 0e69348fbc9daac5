"""`animacy engine` as a user runs it, and what the documents say of it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import fields

import pytest
import yaml

from animacy.core.recipe_loader import load_recipe
from animacy.engine import protocol
from tests.conftest import ROOT, animacy

PAGES = (ROOT / "docs" / "recipes.md", ROOT / "plugins" / "video_engine" / "README.md")


@pytest.mark.parametrize("address", ["engine.sock", "127.0.0.1:0"])
def test_an_engine_is_served_until_it_is_interrupted(engine, tmp_path, address):
    command = [sys.executable, "-c", "from animacy.core.cli import main; main()", "engine", "serve"]
    options = ["--preset", "tiny", "--device", "cpu", "--sessions", "3", "--address", address]
    serving = subprocess.Popen([*command, *options], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        warning, told = (serving.stderr.readline() for _ in range(2))
        assert "No weights were given" in warning
        found = re.fullmatch(r"serving tiny at (\S+), 3 at a time\n", told)
        assert found, told
        health = animacy("engine", "health", "--address", found[1], cwd=tmp_path)
        assert re.search(r"sessions +0 of 3", health.stdout), health.stderr
        taken = animacy("engine", *["serve", *options[:-1], found[1]], cwd=tmp_path)
        assert taken.returncode == 1 and "cannot listen" in taken.stderr
        serving.send_signal(signal.SIGINT)
        assert serving.wait(20) == 0
    finally:
        serving.kill()
    assert not list(tmp_path.iterdir())


def test_a_plan_needs_no_gpu(engine):
    planned = animacy("engine", "plan", "--preset", "spark", "--sessions", "2", "--size", "320x256")
    assert planned.stdout.startswith("spark at 320x256, bf16, 2 sessions")
    assert "GPU 2" in animacy("engine", "plan", "--preset", "spark", "--gpus", "3").stdout
    refused = animacy("engine", "plan", "--preset", "spark", "--size", "big")
    assert refused.returncode == 3 and "832x480" in refused.stderr


def test_an_engine_that_is_not_there_says_how_to_start_one(tmp_path):
    asked = animacy("engine", "health", cwd=tmp_path)
    assert asked.returncode == 1 and "animacy engine serve" in asked.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_recipes_in_the_documents_are_valid(page, tmp_path, picture, plugins):
    examples = [
        text for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL) if "video_engine" in text
    ]
    assert examples
    character = {"name": "Iris", "image": str(picture), "persona": "You are Iris."}
    for example in examples:
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(yaml.safe_dump({"character": character}) + example)
        assert load_recipe(recipe, plugins).chosen["video"].provider.name == "video_engine"


def test_every_message_is_documented_with_its_fields():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", (ROOT / "docs" / "engine.md").read_text(), re.MULTILINE))
    messages = protocol.Message.__args__
    assert set(rows) == {message.__name__.lower() for message in messages}
    for message in messages:
        side, listed, _ = rows[message.__name__.lower()].split(" | ", 2)
        assert side in ("engine", "caller")
        assert re.findall(r"`(\w+)`", listed) == [field.name for field in fields(message)]


def test_the_engine_is_measured(tmp_path):
    options = ["--preset", "tiny", "--gpus", "0", "--seconds", "0.1", "--no-baseline", "--no-kernels"]
    done = animacy("bench", "engine", *options, "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "effective time a frame" in (tmp_path / "out" / "report.md").read_text()
