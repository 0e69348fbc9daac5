"""What every voice of this process has in common."""

import itertools

import numpy as np
import pytest

from animacy.core.pipeline.voice import Speech, pause_after, resampled
from animacy.core.video.contract import Viseme

WANTED = 24_000


def piece(rate, seconds, click):
    """Silence with one click, and a mouth that opens there."""
    sound = np.zeros(round(rate * seconds), np.int16)
    sound[round(rate * click)] = 20_000
    return Speech(sound.tobytes(), (Viseme("aa", click, click + 0.1),))


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100])
def test_the_mouth_stays_with_the_sound_at_another_rate(rate):
    """The filter holds samples back, so that a piece comes out at another length than it went in."""
    pieces = list(resampled(iter([piece(rate, 0.7, 0.3), piece(rate, 0.9, 0.2), piece(rate, 0.5, 0.4)]), rate, WANTED))
    sound = np.concatenate([np.frombuffer(part.pcm, np.int16) for part in pieces]).astype(float)
    assert abs(len(sound) / WANTED - 2.1) < 1e-3
    starts = itertools.accumulate((len(part.pcm) / 2 / WANTED for part in pieces), initial=0.0)
    mouth = [begin + viseme.start for begin, part in zip(starts, pieces, strict=False) for viseme in part.visemes]
    for opened, clicked in zip(mouth, (0.3, 0.9, 2.0), strict=True):
        around = slice(round((clicked - 0.05) * WANTED), round((clicked + 0.05) * WANTED))
        heard = (around.start + int(np.abs(sound[around]).argmax())) / WANTED
        assert abs(opened - heard) < 1e-3 and abs(heard - clicked) < 1e-3


def test_what_is_not_known_of_the_mouth_stays_unknown():
    unknown = Speech(piece(22_050, 0.5, 0.2).pcm, None)
    assert {part.visemes for part in resampled(iter([unknown]), 22_050, WANTED)} == {None}


def test_a_pause_fits_the_mark():
    assert pause_after("and then") < pause_after("then,") < pause_after("I see; ") < pause_after('"I see."')
