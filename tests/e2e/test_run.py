"""One character answers one spoken question on camera: the real command line, the real models, in real time."""

from __future__ import annotations

import json
from itertools import pairwise

import av
import jsonschema
import numpy as np
import pytest
from PIL import Image

from animacy.core.report import Report, report_schema
from benchmarks.lips import measure
from tests.conftest import QUESTIONS, RECIPES, animacy

pytestmark = pytest.mark.realtime

IRIS = RECIPES / "iris" / "recipe.yaml"


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    """One filmed exchange, which several tests look at."""
    folder = tmp_path_factory.mktemp("exchange")
    result = animacy(
        *("run", IRIS, "--input", QUESTIONS / "01.flac", "--output", folder / "answer.mp4"),
        *("--report", folder / "report.json", "--waterfall", folder / "waterfall.png", "--sheet", folder / "sheet.png"),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder, Report.model_validate_json((folder / "report.json").read_text()), result


def test_the_question_is_heard_and_answered(exchange):
    _, report, result = exchange
    expected = json.loads((QUESTIONS / "questions.json").read_text())
    assert report.ended == "done"
    assert len(report.turns) == 1
    turn = report.turns[0]
    heard, asked = words(turn.user), words(text_of(expected, "01"))
    assert len(heard & asked) >= 0.7 * len(asked), turn.user
    assert len(words(turn.character)) >= 3
    assert turn.user in result.stdout
    assert turn.character in result.stdout


def test_the_stages_come_in_order(exchange):
    turn = exchange[1].turns[0]
    assert turn.speech_end_from == "signal"
    assert 0 < turn.final_transcript <= turn.first_llm_token <= turn.first_tts_audio <= turn.first_response_frame
    assert 0 < turn.turn_decision <= turn.first_llm_token
    assert exchange[1].median_response == turn.first_response_frame


def test_the_report_fits_its_schema(exchange):
    jsonschema.validate(json.loads((exchange[0] / "report.json").read_text()), report_schema())
    roles = {model.role: model for model in exchange[1].models}
    assert set(roles) == {"stt", "llm", "tts", "video", "transport"}
    assert roles["stt"].model == "whisper-base"


def test_the_film_is_what_it_should_be(exchange):
    film = exchange[1].film
    assert (film.width, film.height, film.fps) == (1280, 720, 24.0)
    assert film.longest_gap_ms <= 84
    assert abs(film.audio_video_offset_ms) <= 20
    with av.open(str(exchange[0] / "answer.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert [stream.codec_context.name for stream in container.streams.audio] == ["aac", "aac"]


def test_the_mouth_moves_with_the_voice_and_is_closed_in_silence(exchange):
    sync = measure(exchange[0] / "answer.mp4")
    assert sync.correlation >= 0.6
    assert abs(sync.lag_ms) <= 60
    assert sync.silent_open <= 0.02


def test_the_picture_lives_while_nobody_speaks(exchange):
    """No two neighbouring frames are the same, and none is far from its neighbour."""
    with av.open(str(exchange[0] / "answer.mp4")) as container:
        frames = [frame.to_ndarray(format="gray").astype(np.int16) for frame in container.decode(video=0)]
    differences = [np.abs(after - before).mean() for before, after in pairwise(frames)]
    still = sum(difference == 0 for difference in differences)
    assert still <= 0.05 * len(differences)
    assert max(differences) < 6


def test_both_pictures_of_the_session_are_drawn(exchange):
    for name in ("waterfall.png", "sheet.png"):
        with Image.open(exchange[0] / name) as image:
            assert image.width > 600
            assert np.asarray(image.convert("L")).std() > 10


def test_the_recording_is_the_second_track(exchange):
    folder, report, _ = exchange
    with av.open(str(folder / "answer.mp4")) as container:
        parts = [frame.to_ndarray().ravel() for frame in container.decode(audio=1)]
        rate = container.streams.audio[1].rate
    track = np.concatenate(parts)
    end = report.turns[0].user_speech_end
    voiced = np.flatnonzero(np.abs(track) > 0.02) / rate
    assert abs(voiced[-1] - end) < 0.15


def words(text):
    return {word.strip(".,?!'\"").lower() for word in text.split()} - {""}


def text_of(questions, number):
    entries = questions["questions"] if isinstance(questions, dict) and "questions" in questions else questions
    if isinstance(entries, dict):
        entries = [{"file": name, **entry} for name, entry in entries.items()]
    return next(entry["text"] for entry in entries if str(entry["file"]).startswith(number))
