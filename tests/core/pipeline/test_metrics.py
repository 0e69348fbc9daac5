"""What a host knows about its conversations, whatever clients claim."""

from __future__ import annotations

import json
import sys

import pytest

from animacy.core.pipeline.metrics import MAX_CLIENTS, Metrics
from animacy.core.pipeline.samples import KEPT, Samples
from animacy.core.report import TurnReport
from animacy.core.video.runner import RunnerStats


def turn(shift=0.0, **more):
    return TurnReport(
        index=0,
        user_speech_end=4.0,
        speech_end_from="vad",
        final_transcript=0.2 + shift,
        turn_decision=0.3 + shift,
        first_llm_token=0.4 + shift,
        first_tts_audio=0.7 + shift,
        first_response_frame=0.9 + shift,
        **more,
    )


def test_turns_are_spread_by_moment_and_by_stage():
    metrics = Metrics()
    for number in range(101):
        metrics.turn(turn(number / 100))
    metrics.turn(turn(interrupted=True, barge_in_ms=120.0, substance=1.5))
    seen = metrics.snapshot()
    response = seen.moments["first_response_frame"]
    assert response.n == 102
    assert response.p50 == pytest.approx(1.395)
    assert response.p95 == pytest.approx(1.85, abs=0.02)
    assert response.max == 1.9
    assert seen.moments["substance"].n == 1
    assert {name: stage.p50 for name, stage in seen.stages.items()} == pytest.approx(
        {"stt": 0.695, "turn": 0.795, "llm": 0.1, "tts": 0.3, "video": 0.2}
    )
    assert seen.video["from_voice"].p50 == pytest.approx(0.2)
    assert seen.barge_in["server_ms"].p50 == 120
    assert (seen.turns.answered, seen.turns.interrupted) == (102, 1)


def test_sessions_and_their_frames_are_counted_while_they_live_and_after():
    metrics = Metrics()
    first, second = metrics.session_started("web"), metrics.session_started("web")
    stats = RunnerStats(sent=10, late=1)
    metrics.frames(stats, first)
    metrics.frames(RunnerStats(sent=5, repeated=2, worst_delay=0.05), second)
    metrics.first_frame(0.4, first)
    metrics.refused("busy")
    metrics.resumed()
    stats.sent = 20
    seen = metrics.snapshot()
    assert (seen.sessions.live, seen.sessions.total, seen.sessions.refused, seen.sessions.resumed) == (2, 2, 1, 1)
    assert (seen.frames.sent, seen.frames.late, seen.frames.repeated) == (25, 1, 2)
    metrics.session_ended(first)
    metrics.session_ended(first)
    stats.sent = 1000
    seen = metrics.snapshot()
    assert (seen.sessions.live, seen.frames.sent, seen.frames.worst_delay_ms) == (1, 25, 50.0)
    assert seen.video["ttff"].max == 0.4


def test_totals_of_clients_add_up_over_reloads():
    metrics = Metrics()
    for shown in (10, 25, 3):  # the page was loaded anew after 25
        metrics.client_stats({"shown": shown, "late": 1, "unknown": "ignored"}, "a")
    metrics.client_stats({"shown": 100}, "b")
    metrics.client_stats({"av_offset_ms": [-30, 10, 20], "buffer_ms": 80, "rtt_ms": 2.5, "longest_gap_ms": 45}, "b")
    seen = metrics.snapshot()
    assert seen.client_frames.shown == 25 + 3 + 100
    assert seen.client["av_offset_ms"].p50 == 10
    assert seen.client["av_offset_abs_ms"].max == 30
    assert seen.client["buffer_ms"].p50 == 80
    assert seen.client_frames.rejected == 0


@pytest.mark.parametrize(
    "junk",
    [
        None,
        [],
        "stats",
        {"shown": -1},
        {"shown": "many"},
        {"shown": 10**30},
        {"buffer_ms": float("nan")},
        {"rtt_ms": float("inf")},
        {"rtt_ms": 1e12},
        {"av_offset_ms": [0.0] * 5000},
        {"av_offset_ms": [1, None]},
        {"av_offset_ms": {"a": 1}},
    ],
    ids=str,
)
def test_junk_of_clients_is_counted_and_dropped(junk):
    metrics = Metrics()
    metrics.client_stats(junk)
    metrics.flushed(junk)
    seen = metrics.snapshot()
    assert seen.client_frames.rejected == 2
    assert all(spread.n == 0 for spread in (*seen.client.values(), *seen.barge_in.values()))


def test_a_cut_at_the_client_is_measured():
    metrics = Metrics()
    metrics.flushed({"turn": 3, "silent_ms": 12, "still_ms": 45.5})
    seen = metrics.snapshot().barge_in
    assert (seen["silent_ms"].p50, seen["still_ms"].p50, seen["server_ms"].n) == (12, 45.5, 0)


def test_a_snapshot_is_json_without_special_numbers():
    metrics = Metrics()
    metrics.turn(turn())
    text = metrics.snapshot().model_dump_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text)["moments"]["substance"] == {"n": 0, "min": None, "p50": None, "p95": None, "max": None}


def test_memory_is_bounded():
    metrics = Metrics()
    for number in range(3 * MAX_CLIENTS):
        metrics.client_stats({"shown": 1, "av_offset_ms": list(range(64))}, f"client {number}")
    assert metrics.snapshot().client["av_offset_ms"].n == 3 * MAX_CLIENTS * 64 > KEPT
    assert metrics.snapshot().client_frames.shown == 3 * MAX_CLIENTS
    assert max(map(sys.getsizeof, _inside(metrics))) < 64 * KEPT


def test_percentiles_of_a_sample_are_those_of_everything():
    samples = Samples()
    for number in range(100_000):
        samples.add(number / 1000)
    spread = samples.spread()
    assert (spread.n, spread.min, spread.max) == (100_000, 0.0, 99.999)
    assert spread.p50 == pytest.approx(50, abs=3)
    assert spread.p95 == pytest.approx(95, abs=1.5)


def _inside(thing):
    """Every container that an object holds."""
    for value in vars(thing).values():
        yield value
        if isinstance(value, dict):
            yield from value.values()
            for inner in value.values():
                if isinstance(inner, Samples):
                    yield from vars(inner).values()
