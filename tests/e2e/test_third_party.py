"""The plugin tutorial, as its reader follows it: the packages of the page, really installed, in one conversation."""

from __future__ import annotations

import shutil
import subprocess

from animacy.core.report import Report
from tests.conftest import RECIPES, animacy


def test_the_tests_that_the_page_shows_pass(tutorial, third_party):
    command = [third_party, "-m", "pytest", "-q", *tutorial.glob("*/test_*.py")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_three_packages_hold_a_conversation(tutorial, third_party, tmp_path):
    patient = "transport: {plugin: file, patience: 90}\n"  # a busy machine takes its time to choose the tool
    (tmp_path / "recipe.yaml").write_text((tutorial / "recipe.yaml").read_text() + patient)
    shutil.copy(RECIPES / "iris" / "image.jpg", tmp_path / "picture.jpg")
    installed = {"cwd": tmp_path, "python": third_party}
    dialled = animacy("dial", "42", "call.wav", **installed)
    assert dialled.returncode == 0, dialled.stderr
    files = ("--input", "call.wav", "--output", "answer.mp4", "--report", "report.json")
    result = animacy("run", "recipe.yaml", *files, **installed)
    assert result.returncode == 0, result.stdout + result.stderr
    (turn,) = Report.model_validate_json((tmp_path / "report.json").read_text()).turns
    assert turn.user == "How many miles are 42 kilometres?"
    assert turn.character == "42 kilometres are 26.1 miles."
    assert [call.name for call in turn.tools] == ["convert_units"]
