"""The character's own voice in its microphone, through WebRTC's echo canceller."""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import pytest
import soxr
from pipecat.frames.frames import UserStartedSpeakingFrame

from animacy.core.errors import PluginError
from animacy.core.film import read_audio
from animacy.core.pipeline.echo import EchoCanceller
from animacy.core.recipe import TurnTaking
from tests.conftest import QUESTIONS
from tests.core.pipeline.studio import MICROPHONE_RATE, ToldSTT, ToldTTS, conversation, until

VOICE_RATE = 24_000
PATH_SECONDS = 0.15


@pytest.fixture(scope="module")
def voice():
    """Ten seconds of speech at the character's rate."""
    samples = np.concatenate([read_audio(QUESTIONS / f"{n:02}.flac", VOICE_RATE) for n in (1, 2, 4, 5, 6)])
    return samples[: 10 * VOICE_RATE]


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64)))))


@pytest.mark.parametrize("decibels", [-6, -12])
@pytest.mark.parametrize("playout_delay", [0.0, 0.2])
def test_the_echo_is_taken_out(voice, decibels, playout_delay):
    canceller = EchoCanceller(VOICE_RATE, lambda: playout_delay)
    near = soxr.resample(voice, VOICE_RATE, MICROPHONE_RATE).astype(np.float64) * 10 ** (decibels / 20)
    delay = int((playout_delay + PATH_SECONDS) * MICROPHONE_RATE)
    microphone = np.concatenate([np.zeros(delay), near]) + np.random.default_rng(0).normal(0, 3, delay + len(near))
    microphone = microphone.astype(np.int16)
    cleaned, slot = [], VOICE_RATE // 24
    for chunk in range(len(voice) // slot):
        canceller.hear_character(voice[chunk * slot : (chunk + 1) * slot].tobytes())
        first, last = (c * MICROPHONE_RATE // 24 for c in (chunk, chunk + 1))
        cleaned.append(canceller.clean(microphone[first:last].tobytes()))
    after = np.frombuffer(b"".join(cleaned), np.int16)
    converged = slice(4 * MICROPHONE_RATE, len(after))
    assert 20 * np.log10(rms(microphone[converged]) / rms(after[converged])) > 15


def test_who_speaks_alone_is_hardly_changed(voice):
    canceller = EchoCanceller(VOICE_RATE, lambda: 0.0)
    speech = soxr.resample(voice, VOICE_RATE, MICROPHONE_RATE).astype(np.int16)
    canceller.hear_character(bytes(len(voice) * 2))
    after = np.frombuffer(canceller.clean(speech.tobytes()), np.int16)
    assert abs(20 * np.log10(rms(after) / rms(speech))) < 3


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "livekit.rtc.apm", None)
    with pytest.raises(PluginError, match="animacy\\[echo\\]"):
        EchoCanceller(VOICE_RATE, lambda: 0.0)


class Voice(ToldTTS):
    """Speaks with a recorded voice."""

    def __init__(self, samples):
        super().__init__()
        self.samples = samples

    def sound_of(self, text):
        return self.samples


class Loudspeaker:
    """What the microphone hears of the chunks that left, `PATH_SECONDS` later and 6 dB lower."""

    def __init__(self, room):
        self.room, self.chunks, self.count = room, 0, 0
        self.air = np.zeros(int(PATH_SECONDS * MICROPHONE_RATE), np.int16)
        self.resampler = soxr.ResampleStream(VOICE_RATE, MICROPHONE_RATE, 1, dtype="int16")

    def echo(self, count):
        new = self.room.chunks[self.chunks :]
        self.chunks += len(new)
        for _, chunk in new:
            self.air = np.append(self.air, self.resampler.resample_chunk(np.frombuffer(chunk.pcm, np.int16)) // 2)
        piece, self.air = self.air[:count], self.air[count:]
        return np.pad(piece, (0, count - len(piece)))


async def listening_to_itself(voice, echo, understood):
    """Speaks for ten seconds before its own loudspeaker. Returns how often it fell silent, and the turns it saw."""
    told = ToldSTT([understood] * 99)
    async with conversation(stt=told, tts=Voice(voice), turn_taking=TurnTaking(echo=echo)) as scene:
        scene.microphone.room = Loudspeaker(scene.room)
        await scene.speak("It speaks for a while.")
        await until(lambda: not scene.video.runner.speaking, seconds=60)
        await asyncio.sleep(1.5)
        turns = [frame for _, frame in scene.room.frames if isinstance(frame, UserStartedSpeakingFrame)]
        return len(scene.room.flushes), turns


async def test_the_character_does_not_interrupt_itself(voice):
    silences, turns = await listening_to_itself(voice, "apm", "")
    assert not turns
    assert silences <= 1  # within the first second, until the canceller knows the room


async def test_without_a_canceller_it_would(voice):
    """There is no browser here that takes care of the echo."""
    _, turns = await listening_to_itself(voice, "client", "Who is that?")
    assert turns
