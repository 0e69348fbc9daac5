"""The questions asked to `animacy run` through the headless client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from animacy.core.film import read_audio
from animacy.plugins.web.headless import MICROPHONE_RATE, Answer, HeadlessClient
from benchmarks.conversation.rows import ANIMACY, Row
from benchmarks.serving import WARM_UP, serving

FIRST_OPENING_PAUSE = 3.0
"""Seconds of the answer in which the opening must be over."""

WATERFALL = {
    "transcript": "final_transcript",
    "turn": "turn_decision",
    "token": "first_llm_token",
    "voice": "first_tts_audio",
}


async def ask_all(
    recipe: Path, questions: list[tuple[Path, str]], repeat: int, port: int, log: Path, system: str = ANIMACY
) -> tuple[list[Row], dict[str, Any]]:
    """One conversation with every question. Returns the rows, and what the server says of itself."""
    rows = []
    async with serving(recipe, port, log) as server, HeadlessClient(server.url) as client:
        await client.until(lambda: client.first_picture)
        await client.silence(2.0)
        # Not counted, as with the baseline.
        await client.ask(read_audio(WARM_UP, MICROPHONE_RATE))
        for path, text in questions:
            row = Row(system, repeat, path.stem, text)
            note(row, await client.ask(read_audio(path, MICROPHONE_RATE)))
            rows.append(row)
        assert client.http is not None
        async with client.http.get(f"{server.url}/api/metrics") as response:
            metrics = await response.json()
    return rows, metrics


def note(row: Row, answer: Answer) -> None:
    """Fill in what was measured."""
    end = answer.speech_end
    row.transcript, row.answer = answer.transcript, answer.text or "(no answer)"
    # The server tells when its speech ended by its own clock; both clocks are the same on one machine.
    shift = 0.0
    response = None if answer.first_frame is None else answer.first_frame - end
    told = answer.waterfall.get("first_response_frame")
    if told is not None and response is not None:
        # The stages as the server measured them, moved so that they end where the client saw the response.
        shift = response - told
    for stage, name in WATERFALL.items():
        at = answer.waterfall.get(name)
        row.moments[stage] = None if at is None else round(at + shift, 3)
    row.moments["response"] = None if response is None else round(response, 3)
    if answer.first_sound is not None:
        row.sound = round(answer.first_sound - end, 3)
        if answer.waterfall.get("substance") is not None:
            opening = next(((at, long) for at, long in answer.pauses if 0.3 < at < FIRST_OPENING_PAUSE), None)
            at, row.pause = (None, 0.0) if opening is None else (opening[0], round(opening[1], 3))
            told = answer.waterfall["substance"] + shift
            row.substance = round(told if at is None else row.sound + at + row.pause, 3)
