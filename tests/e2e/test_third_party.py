"""Somebody else's plugin in a conversation: the real command line, the real package."""

from __future__ import annotations

from animacy.core.report import Report
from tests.conftest import QUESTIONS, RECIPES, animacy


def test_a_third_party_stt_is_used_by_a_recipe(tmp_path, third_party):
    image = next((RECIPES / "juno").glob("image.*"))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"character: {{name: Ada, image: {image}, persona: You are Ada. Answer in one short sentence.}}\n"
        "stt: {plugin: stopwatch, unit: milliseconds}\nvideo: {width: 640, height: 360}\n"
        "limits: {max_answer_tokens: 32}\n"
    )
    out = tmp_path / "answer.mp4"
    report = tmp_path / "report.json"
    result = animacy(
        *("run", recipe, "--input", QUESTIONS / "02.flac", "--output", out, "--report", report),
        PYTHONPATH=str(third_party),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    turn = Report.model_validate_json(report.read_text()).turns[0]
    assert turn.user.startswith("I spoke for ")
    assert turn.user.endswith(" milliseconds.")
    assert turn.character
