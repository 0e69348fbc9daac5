"""Conversations through servers on the network: an interruption, servers that die one by one, and a wrong key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from animacy.core.film import read_audio
from tests.conftest import QUESTIONS, RECIPES, animacy
from tests.wire.cartesia import CHUNK_SECONDS, CartesiaServer, Manner, cartesia_server
from tests.wire.deepgram import DeepgramServer, deepgram_server
from tests.wire.openai import Answer, ChatServer, chat_server
from tests.wire.speech import RATE, ScriptedEars

KEYS = {"DG": "dg-secret", "OA": "oa-secret", "CA": "sk_car_secret"}
ASKED = ("Who painted the Mona Lisa?", "What is your favourite painting in the museum?", "How old is this museum?")
FILES = ("01.flac", "02.flac", "05.flac")
ANSWERS = (
    "Leonardo painted it.",
    " ".join(["It is the one with the boats, and I like it very much,"] * 3) + " truly.",
    "Old.",
)


@dataclass
class Servers:
    """The three, and what holds the conversation through them."""

    deepgram: DeepgramServer
    openai: ChatServer
    cartesia: CartesiaServer

    def recipe(self, folder: Path, *, fallbacks: bool) -> Path:
        """A recipe that uses them, and the local models when they fail."""
        stt = {"plugin": "deepgram", "base_url": self.deepgram.url, "api_key": "${env:DG}"}
        llm = {"plugin": "openai_compatible", "model": "m", "base_url": self.openai.url, "api_key": "${env:OA}"}
        tts = {"plugin": "cartesia", "base_url": self.cartesia.url, "api_key": "${env:CA}", "voice": "voice-1"}
        image = next((RECIPES / "iris").glob("image.*"))
        data = {
            "character": {
                "name": "Iris",
                "image": str(image),
                "persona": "You are Iris. Answer in one short sentence.",
            },
            "stt": [stt, "whisper"] if fallbacks else stt,
            "llm": [llm, "llama"] if fallbacks else llm,
            "tts": [tts, "kokoro"] if fallbacks else tts,
            "video": {"width": 320, "height": 180},
            "limits": {"max_answer_tokens": 48},
            "fallback": {"retry": 2},
        }
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(data))
        return path


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    answers = list(ANSWERS)

    def reply(_: object) -> Answer:
        first, *rest = answers.pop(0).split(" ")
        return Answer((first, *(f" {word}" for word in rest)))

    async with (
        deepgram_server(ScriptedEars(ASKED)) as deepgram,
        chat_server(reply) as openai,
        cartesia_server(Manner(pace=CHUNK_SECONDS / 1.5)) as cartesia,
    ):
        yield Servers(deepgram, openai, cartesia)


def recording(path: Path, *parts: str | float) -> Path:
    """Questions, and seconds of silence between them."""
    pieces = [
        np.zeros(int(p * RATE), np.int16) if isinstance(p, float) else read_audio(QUESTIONS / p, RATE) for p in parts
    ]
    soundfile.write(path, np.concatenate(pieces), RATE)
    return path


async def when(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110  # the servers tell nobody
        await asyncio.sleep(0.02)


async def converse(recipe: Path, microphone: Path, *beside: Sequence[object]) -> tuple[dict, str]:
    """Film it; returns the report, and what was told."""
    film, report = recipe.parent / "film.mp4", recipe.parent / "report.json"
    waiting = [asyncio.ensure_future(task) for task in beside]
    try:
        done = await asyncio.to_thread(animacy, "run", recipe, "-i", microphone, "-o", film, "--report", report, **KEYS)
    finally:
        for task in waiting:
            task.cancel()
    assert done.returncode == 0, done.stderr
    assert not any(key in done.stderr + done.stdout for key in KEYS.values())
    assert film.stat().st_size > 10_000
    return json.loads(report.read_text()), done.stderr


@pytest.mark.realtime  # a film that is written too slowly holds up what is remembered of the conversation
async def test_three_turns_of_which_one_is_interrupted(tmp_path):
    microphone = recording(tmp_path / "microphone.wav", FILES[0], 6.0, FILES[1], 4.0, FILES[2], 1.0)
    async with servers() as through:
        report, told = await converse(through.recipe(tmp_path, fallbacks=False), microphone)
    turns = report["turns"]
    assert [turn["user"] for turn in turns] == list(ASKED)
    assert [turn["interrupted"] for turn in turns] == [False, True, False]
    assert [turns[0]["character"], turns[2]["character"]] == [ANSWERS[0], ANSWERS[2]]
    heard = turns[1]["character"]
    assert ANSWERS[1].startswith(heard) and 0 < len(heard) < len(ANSWERS[1]) / 2
    assert through.cartesia.cancelled, "the voice was not told to stop"
    *_, before, _ = through.openai.requests[-1]["messages"]
    assert before == {"role": "assistant", "content": heard}, "the model is told what was heard, and no more"
    assert report["switches"] == []
    assert "warning" not in told


@pytest.mark.realtime
async def test_no_turn_is_lost_when_the_servers_die(tmp_path):
    """Deepgram in the middle of a question, and it comes back; the model before its answer, the voice within one."""
    microphone = recording(tmp_path / "microphone.wav", FILES[0], 9.0, FILES[1], 10.0, FILES[2], 1.0)
    async with servers() as through:
        deepgram, openai, cartesia = through.deepgram, through.openai, through.cartesia

        async def hearing() -> None:
            await when(lambda: bool(deepgram.sounds) and len(deepgram.sounds[-1]) > 2 * RATE * 2.2)
            await deepgram.power.off()
            await asyncio.sleep(1)
            deepgram.ears = ScriptedEars(ASKED[1:])
            await deepgram.power.on()

        async def thinking() -> None:
            await when(lambda: len(openai.requests) == 1 and openai.sent > 5)
            await asyncio.sleep(0.5)
            await openai.power.off()

        async def speaking() -> None:
            await when(lambda: cartesia.chunks > 0)
            first = cartesia.chunks
            await when(lambda: cartesia.chunks > first + 3)
            await asyncio.sleep(5)
            spoken = cartesia.chunks
            await when(lambda: cartesia.chunks > spoken + 4)
            await cartesia.power.off()

        report, _ = await converse(
            through.recipe(tmp_path, fallbacks=True), microphone, hearing(), thinking(), speaking()
        )
    print(json.dumps([report["switches"], report["turns"]], indent=1))
    turns = report["turns"]
    assert [turn["user"] for turn in turns] == list(ASKED)
    assert all(turn["character"] and not turn["interrupted"] for turn in turns)
    went = [(switch["role"], switch["left"], switch["entered"]) for switch in report["switches"]]
    assert went[:2] == [("stt", "deepgram", "whisper"), ("stt", "whisper", "deepgram")]
    assert {("llm", "openai_compatible", "llama"), ("tts", "cartesia", "kokoro")} <= set(went)
    assert turns[0]["character"] == ANSWERS[0]


async def test_a_refused_key_is_told_before_anything_is_said(tmp_path):
    async with servers() as through:
        path = through.recipe(tmp_path, fallbacks=False)
        through.deepgram.key = "another"
        done = await asyncio.to_thread(
            animacy, "run", path, "-i", QUESTIONS / FILES[0], "-o", tmp_path / "a.mp4", **KEYS
        )
    assert done.returncode == 1
    assert "error: Deepgram does not accept the key\n  set the variable that stt.api_key names" in done.stderr
    assert not any(key in done.stderr + done.stdout for key in KEYS.values())
