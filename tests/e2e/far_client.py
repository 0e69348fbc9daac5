"""Asks questions at a page's address, prints what came of them: `python -m tests.e2e.far_client URL FILE...`."""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from animacy.core.film import read_audio
from animacy.plugins.web.headless import MICROPHONE_RATE, HeadlessClient


async def ask(url: str, files: list[Path], distance: float) -> dict:
    async with HeadlessClient(url, audio=("opus",), distance=distance) as client:
        await client.hear_out()
        answers = []
        for file in files:
            answer = await client.ask(read_audio(file, MICROPHONE_RATE), within=60)
            answers.append(
                {
                    "transcript": answer.transcript,
                    "text": answer.text,
                    "first_frame": None if answer.first_frame is None else answer.first_frame - answer.speech_end,
                    "silence": answer.silence,
                }
            )
            await asyncio.sleep(1)
        pictures, sounds = list(client.playout.pictures), list(client.playout.sounds)
        told = [m.data for m in client.messages if m.type in ("welcome", "video")]
        formats = [data.get("video", data) for data in told]
        delays = np.array([picture.arrived - picture.pts for picture in pictures])
        return {
            "answers": answers,
            "formats": [(data["width"], data["height"]) for data in formats],
            "fps": len(pictures) / (pictures[-1].pts - pictures[0].pts),
            "longest_picture_gap": max(b.arrived - a.arrived for a, b in pairwise(pictures)),
            "sound_missing": sum(max(0.0, b.pts - a.pts - 0.0201) for a, b in pairwise(sounds)),
            "delay_p50": float(np.median(delays) - delays.min()),
            "delay_p95": float(np.percentile(delays, 95) - delays.min()),
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(sys.argv[1], [Path(name) for name in sys.argv[2:]], distance=0.4))))
