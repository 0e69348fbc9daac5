"""Speech features: those of Whisper, the same however the speech arrives, and nothing where nothing is said."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from animacy.engine.audio import LogMel, SpeechWindows
from animacy.engine.config import PRESETS, TINY, WAN22_5B
from animacy.engine.mel import MelSpectrum

AUDIO = WAN22_5B.dit.audio


def speech(seconds, rate, seed=0):
    """A voice-like sound with gaps, int16."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 20)) + 0.1 * random.standard_normal(len(time))
    return (wave * np.maximum(0, np.sin(2 * np.pi * 3 * time)) * 6000).astype(np.int16)


def windows(rate, audio=AUDIO, **options):
    return SpeechWindows(audio, rate, fps=24, frames=4, **options)


def take_all(stream):
    taken = []
    while (window := stream.take()) is not None:
        taken.append(window)
    return taken


def test_spectra_are_those_of_whisper():
    from faster_whisper.feature_extractor import FeatureExtractor

    sound = speech(2, 16_000).astype(np.float32) / 32768
    expected = np.maximum(FeatureExtractor()(sound, padding=0), 0).T
    # Whisper centres spectrum j on sample 160 j; four a frame of 25 fps stand in the middle of their quarters.
    padded = np.pad(sound, (80 + 200, 1000))
    mel = LogMel(16_000, fps=25, feature_dim=4 * 80)
    found = mel.encode(padded, 200 + 640 * np.arange(40)).reshape(-1, 80)
    assert expected.max() > 1
    np.testing.assert_allclose(found[3:], expected[3 : len(found)], atol=1e-4)  # Whisper reflects the beginning


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000])
def test_other_rates_hear_the_same(rate):
    def spectrum(rate):
        time = np.arange(round(rate * 0.025)) / rate
        sound = sum(np.sin(2 * np.pi * hertz * time) for hertz in (200, 720, 1400, 3100, 6000)) / 10
        return MelSpectrum(rate)(sound.astype(np.float32))

    np.testing.assert_allclose(spectrum(rate), spectrum(16_000), atol=0.02)


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([8_000, 16_000, 22_050, 24_000, 44_100]),
    window=st.integers(1, 12),
    pieces=st.lists(st.integers(0, 4_000), max_size=12),
)
def test_arriving_in_pieces_equals_the_whole_at_once(rate, window, pieces):
    audio = replace(AUDIO, window=window, feature_dim=100)
    sound = speech(1.5, rate)
    whole = windows(rate, audio)
    whole.push(sound)
    expected = take_all(whole)
    assert len(expected) == sum((4 * (k + 1) * rate // 24) + whole.look_ahead <= len(sound) for k in range(9))

    stream, found = windows(rate, audio), []
    for piece in np.split(sound, np.minimum(np.cumsum(pieces), len(sound)).tolist()):
        stream.push(piece)
        found += take_all(stream)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=30, deadline=None)
@given(rate=st.sampled_from([16_000, 22_050, 24_000]), window=st.integers(1, 12))
def test_what_is_expected_stands_in_for_what_comes(rate, window):
    audio = replace(AUDIO, window=window)
    sound = speech(1.5, rate)
    whole, stream = windows(rate, audio), windows(rate, audio)
    whole.push(sound)
    for k, expected in enumerate(take_all(whole)):
        start, end = (4 * i * rate // 24 for i in (k, k + 1))
        stream.push(sound[start:end])
        assert stream.look_ahead == 0 or stream.take() is None
        np.testing.assert_array_equal(stream.take(sound[end : end + stream.look_ahead]), expected)
        assert stream.take(sound[:0]) is None


def test_a_window_is_centred_and_hears_no_further_than_it_says():
    rate = 24_000
    stream = windows(rate)
    assert stream.look_ahead == pytest.approx((2 / 24 + 0.0073) * rate, abs=2)
    for at in range(0, 2 * 4000, 97):
        click = np.zeros(2 * 4000 + stream.look_ahead, np.int16)
        click[at] = 30_000
        stream.reset()
        stream.push(click)
        first, second = (window.any(axis=1) for window in take_all(stream))
        assert not first.any() or at < 4000 + stream.look_ahead
        # The second latent frame has two video frames around it on either side: it begins to hear at frame 2.
        for frame in np.flatnonzero(second):
            assert abs(at - (frame + 2.5) * 1000) <= 1000 / 2 + 0.0125 * rate
        assert second.any() or at < 2000


@pytest.mark.parametrize("preset", [p for p in PRESETS.values() if p.dit.audio], ids=lambda p: p.name)
def test_silence_is_zero_and_speech_is_not(preset):
    stream = windows(24_000, preset.dit.audio)
    shape = (preset.dit.audio.window, preset.dit.audio.feature_dim)
    stream.push(np.zeros(4000, np.int16))
    silence = stream.take(np.zeros(0, np.int16))
    assert silence.shape == shape and silence.dtype == np.float32 and not silence.any()
    stream.push(speech(4000 / 24_000, 24_000))
    assert stream.take(np.zeros(0, np.int16)).any()


def test_speech_that_was_reset_leaves_no_trace():
    stream = windows(24_000)
    stream.push(speech(1, 24_000))
    stream.take()
    stream.reset()
    stream.push(np.zeros(8000, np.int16))
    assert not np.any(take_all(stream))


def test_memory_does_not_grow():
    stream = windows(24_000, TINY.dit.audio)

    def hear(seconds):
        for _ in range(6 * seconds):
            stream.push(speech(1 / 6, 24_000))
            stream.take(np.zeros(0, np.int16))

    hear(3)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    hear(20)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000
