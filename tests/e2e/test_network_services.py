"""A character that hears, thinks and speaks through servers on the network, filmed by the real command line."""

from __future__ import annotations

import asyncio
import json

import yaml

from tests.conftest import QUESTIONS, RECIPES, animacy
from tests.wire.cartesia import Manner as Speaking
from tests.wire.cartesia import cartesia_server
from tests.wire.deepgram import Manner as Listening
from tests.wire.deepgram import deepgram_server
from tests.wire.openai import Answer, chat_server
from tests.wire.server import Refusal
from tests.wire.speech import ToldEars

QUESTION = "Who painted the Mona Lisa?"
ANSWER = "Puma, go with me. Judge me then."
KEYS = {"DG": "dg-secret", "OA": "oa-secret", "CA": "sk_car_secret"}


def recipe_of(folder, deepgram, openai, cartesia):
    image = next((RECIPES / "iris").glob("image.*"))
    data = {
        "character": {"name": "Iris", "image": str(image), "persona": "You are Iris."},
        "stt": {"plugin": "deepgram", "base_url": deepgram.url, "api_key": "${env:DG}"},
        "llm": {"plugin": "openai_compatible", "model": "m", "base_url": openai.url, "api_key": "${env:OA}"},
        "tts": {"plugin": "cartesia", "base_url": cartesia.url, "api_key": "${env:CA}", "voice": "voice-1"},
        "video": {"width": 320, "height": 180},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


async def test_a_filmed_answer_though_every_server_stumbles(tmp_path):
    """Deepgram breaks off in mid-sentence, the model is busy at first, and Cartesia breaks off in mid-answer."""
    busy = [Answer(status=429, retry_after="0.2")]

    def reply(_):
        return busy.pop() if busy else Answer(tuple(ANSWER.split(" ")[:1] + [f" {w}" for w in ANSWER.split(" ")[1:]]))

    film, report = tmp_path / "answer.mp4", tmp_path / "report.json"
    async with (
        deepgram_server(ToldEars(QUESTION), Listening(), Listening(breaks_after=2.0), Listening()) as deepgram,
        chat_server(reply) as openai,
        cartesia_server(Speaking(), Speaking(breaks_after=1.0), Speaking()) as cartesia,
    ):
        path = recipe_of(tmp_path, deepgram, openai, cartesia)
        arguments = ("run", path, "-i", QUESTIONS / "03.flac", "-o", film, "--report", report)
        done = await asyncio.to_thread(animacy, *arguments, **KEYS)
    assert done.returncode == 0, done.stderr
    (turn,) = json.loads(report.read_text())["turns"]
    assert turn["user"] == QUESTION and turn["character"] == ANSWER
    assert film.stat().st_size > 10_000
    assert "warning: the connection to Deepgram broke; trying again in 0.25 s" in done.stderr
    assert "warning: the connection to Cartesia broke; trying again in 0.25 s" in done.stderr
    assert not any(key in done.stderr + done.stdout for key in KEYS.values())


async def test_a_refused_key_is_told_before_anything_is_said(tmp_path):
    async with deepgram_server(ToldEars(""), Listening(Refusal(401))) as deepgram, cartesia_server() as cartesia:
        path = recipe_of(tmp_path, deepgram, cartesia, cartesia)
        done = await asyncio.to_thread(
            animacy, "run", path, "-i", QUESTIONS / "03.flac", "-o", tmp_path / "answer.mp4", **KEYS
        )
    assert done.returncode == 1
    assert "error: Deepgram does not accept the key\n  set the variable that stt.api_key names" in done.stderr
    assert not any(key in done.stderr + done.stdout for key in KEYS.values())
