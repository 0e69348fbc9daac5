"""The headless client's playout: sound is the clock, and what was cut is neither heard nor seen."""

from __future__ import annotations

import numpy as np
import pytest

from animacy.plugins.web.headless import pauses_in, voiced_end, voiced_start
from animacy.plugins.web.playout import Picture, Playout, Sound

FPS = 25
STEP = 1 / FPS
VOICE = np.full(960, 3000, np.int16)
SILENCE = np.zeros(960, np.int16)


def sound(index, now, turn=0, samples=None):
    samples = samples if samples is not None else (VOICE if turn else SILENCE)
    return Sound(index * STEP, STEP, turn, samples, now)


class Stream:
    """A server that sends a slot every 40 ms, and a client that plays it."""

    def __init__(self, **options) -> None:
        self.playout = Playout(fps=FPS, **options)
        self.now = 50.0
        self.index = 0
        self.done = []

    def send(self, slots, turn=0, delay=0.0, lost=()):
        self.now += delay
        for _ in range(slots):
            self.playout.hear(sound(self.index, self.now, turn))
            if self.index not in lost:
                self.playout.see(Picture(self.index * STEP, turn, False, b"", self.now))
            self.index += 1
            self.play(STEP)

    def play(self, seconds):
        for _ in range(round(seconds / 0.01)):
            self.now += 0.01
            self.done += self.playout.advance(self.now)


def test_pictures_are_shown_with_their_sound():
    stream = Stream()
    stream.send(100)
    shown = [picture for picture in stream.playout.pictures if picture.shown]
    assert len(shown) > 90
    heard = {sound.pts: sound.heard for sound in stream.playout.sounds}
    # The very first one is shown at once: better a picture without sound than none.
    assert shown[0].shown < heard[shown[0].pts]
    assert all(abs(picture.shown - heard[picture.pts]) <= 0.011 for picture in shown[1:])
    assert 0 <= min(stream.playout.offsets) <= max(stream.playout.offsets) <= 0.011
    gaps = np.diff([picture.shown for picture in shown[1:]])
    assert gaps.max() <= 0.051
    assert stream.playout.counts.dropped == 0


def test_sound_is_heard_at_its_distance_and_waits_for_what_is_missing():
    stream = Stream(distance=0.1)
    stream.send(50)
    assert stream.playout.buffered == pytest.approx(0.1, abs=0.05)
    before = stream.playout.playhead
    stream.play(0.5)  # nothing comes
    assert stream.playout.playhead == pytest.approx(before + 0.1, abs=0.05)
    stream.send(50)
    assert stream.playout.buffered == pytest.approx(0.1, abs=0.05)
    assert stream.playout.longest_gap > 0.4


def test_a_lost_picture_leaves_a_gap():
    stream = Stream()
    stream.send(10)
    before = stream.playout.counts.repeated
    stream.send(50, lost={20, 21, 22})
    assert stream.playout.longest_gap == pytest.approx(4 * STEP, abs=0.02)
    assert stream.playout.counts.repeated - before == 3


def test_what_was_cut_is_neither_heard_nor_seen():
    stream = Stream(distance=0.2)
    stream.send(10)
    stream.send(20, turn=7)
    at = (stream.index + 1) * STEP
    cut = stream.now
    stream.playout.flush(7, at, cut)
    stream.send(1, turn=7)  # it was on its way
    stream.send(20)
    dead = [sound for sound in stream.playout.sounds if sound.turn == 7]
    assert any(sound.dropped for sound in dead)
    assert all(sound.heard is None or sound.heard <= cut for sound in dead)
    assert all(picture.shown is None or picture.shown <= cut for picture in stream.playout.pictures if picture.turn)
    (flush,) = stream.done
    assert flush.silent - cut <= 0.011
    # The first picture without the turn takes the place of the last one with it, before its sound is heard.
    assert STEP < flush.still - cut <= 2 * STEP + 0.011


def test_too_much_that_waits_is_skipped_in_silence():
    stream = Stream(distance=0.1)
    stream.send(25)
    for _ in range(8):
        stream.playout.hear(sound(stream.index, stream.now))
        stream.index += 1
    stream.send(5)
    assert stream.playout.buffered <= 0.17


def test_memory_is_bounded():
    stream = Stream()
    for _ in range(4000):
        stream.playout.hear(sound(stream.index, stream.now))
        stream.playout.see(Picture(stream.index * STEP, 0, False, b"", stream.now))
        stream.index += 1
    assert len(stream.playout.sounds) <= 60 * FPS + 1
    assert len(stream.playout.pictures) <= 60 * FPS + 1


def test_speech_is_found_in_a_recording():
    speech = np.concatenate([np.zeros(8000, np.int16), np.full(16_000, 5000, np.int16), np.zeros(4000, np.int16)])
    assert voiced_start(speech) == 0.5
    assert voiced_end(speech) == 1.5


def test_pauses_are_between_pieces_of_speech():
    voiced = [sound(index, 0.0, 1) for index in (10, 11, 12, 20, 21, 23)]
    ((at, seconds),) = pauses_in(voiced)
    assert at == pytest.approx(3 * STEP)
    assert seconds == pytest.approx(7 * STEP)
