"""Films without a conversation, and new recipes: the real command line, the real models."""

from __future__ import annotations

import numpy as np

from animacy.core.film import measure_film, read_audio
from benchmarks.lips import measure, mouth_track
from tests.conftest import QUESTIONS, RECIPES, animacy

IRIS = RECIPES / "iris" / "recipe.yaml"


def test_a_creature_says_a_line(tmp_path):
    out = tmp_path / "line.mp4"
    result = animacy(
        "render", RECIPES / "moss" / "recipe.yaml", "--text", "My mama made a big blue boat.", "--out", out
    )
    assert result.returncode == 0, result.stderr
    film = measure_film(out)
    assert (film.width, film.height, film.fps) == (1280, 720, 24.0)
    voice = read_audio(out, 24_000)
    assert np.abs(voice).max() > 3000
    assert abs(len(voice) / 24_000 - film.seconds) < 0.1


def test_a_recording_is_spoken(tmp_path):
    out = tmp_path / "audio.mp4"
    result = animacy("render", IRIS, "--audio", QUESTIONS / "02.flac", "--out", out)
    assert result.returncode == 0, result.stderr
    mouth, _ = mouth_track(out)
    assert mouth.max() > mouth.min() + 0.02
    sync = measure(out)
    assert sync.correlation >= 0.6
    assert abs(sync.lag_ms) <= 60


def test_render_wants_one_thing_to_say(tmp_path):
    result = animacy("render", IRIS, "--out", tmp_path / "a.mp4")
    assert result.returncode == 3
    assert "either --text or --audio" in result.stderr


def test_new_makes_a_recipe_that_runs(tmp_path):
    image = next((RECIPES / "juno").glob("image.*"))
    result = animacy("new", "Captain Ada: of 'the' sea", "--image", image, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    recipe = tmp_path / "captain-ada-of-the-sea" / "recipe.yaml"
    checked = animacy("check", recipe)
    assert checked.returncode == 0, checked.stderr
    assert "is ready" in checked.stdout
    again = animacy("new", "Captain Ada: of 'the' sea", "--image", image, cwd=tmp_path)
    assert again.returncode == 3
    assert "exists already" in again.stderr
