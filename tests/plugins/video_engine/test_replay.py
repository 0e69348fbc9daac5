"""A recorded conversation, played to the engine's renderer by the benchmark that films it."""

from __future__ import annotations

import numpy as np
import pytest

from animacy.core.film import read_audio
from animacy.core.provider import CharacterContext
from animacy.core.video.contract import Portrait, VideoFormat
from animacy.plugins.video_engine import video_providers
from benchmarks.replay.__main__ import judge
from benchmarks.replay.play import play
from benchmarks.replay.score import Event, Score
from tests.conftest import QUESTIONS

VIDEO = VideoFormat(160, 120, 24, 24_000)
VOICE = read_audio(QUESTIONS / "01.flac", VIDEO.sample_rate)[:40_000]
EVENTS = (
    Event(0.2, "speech", 1, samples=10_000),
    Event(0.3, "speech", 1, samples=10_000),
    Event(0.4, "end", 1),
    Event(2.0, "speech", 2, samples=20_000),
    Event(2.6, "interrupt", 2),
)

pytestmark = pytest.mark.filterwarnings("ignore:the engine runs preset tiny with random weights")


async def test_a_score_is_played_and_judged(engine, picture, tmp_path):
    Score(VIDEO.sample_rate, 3.6, EVENTS, VOICE).save(tmp_path / "score.json")
    score = Score.load(tmp_path / "score.json")
    assert score.events == EVENTS and np.array_equal(score.voice, VOICE)
    provider = video_providers()
    settings = provider.settings.model_validate({"preset": "tiny", "devices": ["cpu"]})
    renderer = provider.create(settings, CharacterContext("Iris"))
    filmed = []
    performance = await play(renderer, Portrait(picture), VIDEO, score, filmed.append)
    told = judge(performance)
    assert told["wrong"] == []
    assert len(told["interruption_to_silent_chunk_ms"]) == 1
    assert told["frames"]["sent"] == sum(len(chunk.frames) for chunk in filmed)
    assert bytes(performance.pushed[1]) == VOICE[:20_000].tobytes()

    spoken = next(chunk for chunk in performance.chunks if chunk.turn == 1)
    spoken.pcm = b"\1" * len(spoken.pcm)
    next(chunk for chunk in performance.chunks if chunk.turn is None and chunk.index).motion = [0.0] * 4
    wrong = judge(performance)["wrong"]
    assert wrong[0] == "the sound of turn 1 is not what was said"
    assert wrong[1].startswith("the picture stands still at 1 of ")
