"""Plays a recorded conversation to a renderer in real time, films it, and says how it kept time.

    python -m benchmarks.replay --renderer portrait
    python -m benchmarks.replay --renderer video_engine --settings '{preset: wan22-5b, devices: ["cuda:0", "cuda:1"]}' \
        --width 1280 --height 704

The runner is core's own, so nothing of the conversation's models is needed, nor Pipecat: a machine with a GPU and the
engine's packages will do. It checks that every sample that was said left once, in order and with its frames; that an
interruption is silent from the next chunk on; and that idle frames go on moving. With random weights the picture is
noise: time, pairing and idle motion are what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from animacy.core.contact_sheet import draw_contact_sheet
from animacy.core.film import FilmWriter, measure_film
from animacy.core.plugins import Plugins
from animacy.core.provider import CharacterContext
from animacy.core.video.contract import Portrait, RenderedChunk, VideoFormat
from benchmarks.replay.play import Performance, play
from benchmarks.replay.score import Score

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renderer", default="portrait")
    parser.add_argument("--settings", type=yaml.safe_load, default={}, help="of the renderer, as YAML")
    parser.add_argument("--score", type=Path, default=ROOT / "benchmarks" / "data" / "conversation.json")
    parser.add_argument("--image", type=Path, default=ROOT / "recipes" / "iris" / "image.jpg")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--seconds", type=float, help="of the score; silence follows when it is shorter")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "replay")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    video = VideoFormat(options.width, options.height)
    provider = Plugins().load().get("video", options.renderer)
    settings = provider.settings.model_validate(options.settings, context={"base_dir": Path.cwd()})
    renderer = provider.create(settings, CharacterContext("Iris", folder=Path.cwd()))
    film = FilmWriter(options.out / "film.mp4", video)

    def keep(chunk: RenderedChunk) -> None:
        film.write(chunk.frames, chunk.pcm)

    score = Score.load(options.score)
    performance = asyncio.run(play(renderer, Portrait(options.image), video, score, keep, options.seconds))
    path = film.finish()
    told = {"renderer": options.renderer, **judge(performance), "film": _film(path)}
    (options.out / "report.json").write_text(json.dumps(told, indent=1) + "\n")
    draw_contact_sheet(path, options.out / "contact-sheet.png")
    print(json.dumps(told, indent=1))
    if told["wrong"]:
        sys.exit(1)


def judge(performance: Performance) -> dict[str, Any]:
    """Figures in milliseconds and frames; `wrong` lists what must not be."""
    video, chunks = performance.video, performance.chunks
    times = np.array([chunk.at for chunk in chunks])
    due = np.array([chunk.index for chunk in chunks]) / video.fps
    late = 1000 * ((times - times[0]) - (due - due[0]))
    gaps = 1000 * np.diff(times)
    idle = [moved for chunk in chunks[1:] if chunk.turn is None for moved in chunk.motion]
    stats = performance.stats
    return {
        "warm_up_s": round(performance.warm_up, 2),
        "seconds": round(float(times[-1] - times[0]), 2),
        "frames": {"sent": stats.sent, "late": stats.late, "repeated": stats.repeated, "stalls": stats.stalls},
        "behind_its_time_ms": _spread(late),
        "between_chunks_ms": _spread(gaps),
        "interruption_to_silent_chunk_ms": [
            round(1000 * (chunks[k].at - at), 1) for at, k in performance.cuts if k < len(chunks)
        ],
        "idle_motion": _spread(np.array(idle)),
        "wrong": list(_wrong(performance)),
    }


def _wrong(performance: Performance) -> Any:
    chunks, cuts = performance.chunks, performance.cuts
    for a, b in pairwise(chunks):
        frames = len(a.pcm) // 2 // performance.video.samples_per_frame
        if b.index != a.index + frames:
            yield f"frame {a.index + frames} does not follow, but {b.index}"
    for turn, pushed in performance.pushed.items():
        left = b"".join(chunk.pcm[: 2 * chunk.speech] for chunk in chunks if chunk.turn == turn)
        if not pushed.startswith(left):
            yield f"the sound of turn {turn} is not what was said"
        elif len(left) < len(pushed) and not cuts:
            yield f"{(len(pushed) - len(left)) // 2} samples of turn {turn} never left"
    for chunk in chunks:
        if any(chunk.pcm[2 * chunk.speech if chunk.turn is not None else 0 :]):
            yield f"frame {chunk.index} has sound that nobody said"
    for at, k in cuts:
        if k < len(chunks) and chunks[k].turn is not None and chunks[k].at - at < 0.5:
            yield f"frame {chunks[k].index} still speaks after an interruption"
    still = [chunk.index for chunk in chunks[1:] if chunk.turn is None and not any(chunk.motion)]
    if still:
        yield f"the picture stands still at {len(still)} of {len(chunks)} chunks, first at frame {still[0]}"


def _film(path: Path) -> dict[str, Any]:
    film = measure_film(path)
    return {
        "frames": film.frames,
        "seconds": round(film.seconds, 2),
        "longest_gap_ms": round(1000 * film.longest_gap, 1),
    }


def _spread(values: Any) -> dict[str, float]:
    if not len(values):
        return {}
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(float(np.max(values)), 2)}


if __name__ == "__main__":
    main()
