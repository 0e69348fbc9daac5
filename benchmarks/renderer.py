"""How fast the portrait renderer draws on one core, beside what one would reach for instead.

    python benchmarks/renderer.py [--image PICTURE] [--frames N] [--plot renderer.png]

Pins itself to one core. Draws speech and idle at 1280x720 through the public iterator, sound and all, and in the same
run times two stock ways to bend a picture of that size: `cv2.remap` over the whole frame, and Pillow's
`Image.transform(MESH)`. The ratios hold on a busy machine too, where the milliseconds do not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from animacy.core.video.contract import CharacterState, Portrait, RenderedChunk, VideoFormat, Viseme, VisemeShape
from animacy.plugins.portrait.renderer import PortraitRenderer, packaged_models
from animacy.plugins.portrait.settings import PortraitSettings

ROOT = Path(__file__).resolve().parent.parent
SYLLABLES: tuple[VisemeShape, ...] = ("PP", "aa", "DD", "I", "SS", "O", "FF", "E", "nn", "U", "CH", "aa", "RR", "kk")


def speech(seconds: float, rate: int) -> tuple[bytes, list[Viseme]]:
    """A buzz in syllables, and visemes to it."""
    time_ = np.arange(int(seconds * rate)) / rate
    loud = 0.5 - 0.5 * np.cos(2 * np.pi * 4.2 * time_)
    pcm = (loud * np.sign(np.sin(2 * np.pi * 130 * time_)) * 6000).astype("<i2").tobytes()
    step = 0.085
    count = int(seconds / step)
    return pcm, [Viseme(SYLLABLES[k % len(SYLLABLES)], k * step, (k + 1) * step) for k in range(count)]


async def frame_times(image: Path, frames: int, output: VideoFormat) -> dict[str, NDArray[np.float64]]:
    """Seconds of wall clock per frame, speaking and idle, and of CPU; plus the seconds of start."""
    renderer = PortraitRenderer(PortraitSettings(), packaged_models)
    begin = time.perf_counter()
    await renderer.start(Portrait(image), output)
    times = {"start": np.array([time.perf_counter() - begin])}
    chunks = aiter(renderer)

    async def measure(count: int) -> tuple[NDArray[np.float64], RenderedChunk]:
        taken = []
        for _ in range(count):
            before = time.perf_counter()
            chunk = await anext(chunks)
            taken.append(time.perf_counter() - before)
        return np.array(taken), chunk

    for name, state in (("idle", CharacterState.LISTENING), ("speech", CharacterState.SPEAKING)):
        renderer.set_state(state)
        if name == "speech":
            pcm, visemes = speech(frames / output.fps + 1, output.sample_rate)
            renderer.push_audio(pcm, output.sample_rate, 1, visemes)
        cpu = time.process_time()
        times[name], _ = await measure(frames)
        times[f"{name} cpu"] = np.array([(time.process_time() - cpu) / frames])
    await renderer.close()
    return times


def repeat(work: Callable[[], object], count: int) -> NDArray[np.float64]:
    """Seconds of each of `count` runs."""
    taken = []
    for _ in range(count):
        before = time.perf_counter()
        work()
        taken.append(time.perf_counter() - before)
    return np.array(taken)


def stock(image: Path, output: VideoFormat, count: int) -> dict[str, NDArray[np.float64]]:
    """Seconds per frame of stock whole-frame warps."""
    size = (output.width, output.height)
    picture = Image.open(image).convert("RGB").resize(size)
    pixels = np.asarray(picture)
    xs, ys = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    bend_x, bend_y = xs + 3 * np.sin(ys / 40), ys + 3 * np.sin(xs / 40)
    step = 32
    mesh = [
        ((x, y, min(x + step, size[0]), min(y + step, size[1])), (x, y, x, y + step, x + step, y + step, x + step, y))
        for y in range(0, size[1], step)
        for x in range(0, size[0], step)
    ]
    return {
        "cv2.remap, bilinear": repeat(lambda: cv2.remap(pixels, bend_x, bend_y, cv2.INTER_LINEAR), count),
        "cv2.remap, cubic": repeat(lambda: cv2.remap(pixels, bend_x, bend_y, cv2.INTER_CUBIC), count),
        "Pillow MESH, bilinear": repeat(
            lambda: picture.transform(size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR), max(3, count // 4)
        ),
    }


def row(name: str, taken: NDArray[np.float64], reference: float) -> str:
    """One line of the table."""
    ms = taken * 1e3
    median, p95, p99 = np.median(ms), np.percentile(ms, 95), np.percentile(ms, 99)
    return f"{name:24} {median:8.2f} {p95:8.2f} {p99:8.2f} {1e3 / ms.mean():8.1f} {median / reference:8.2f}"


def plot(times: dict[str, NDArray[np.float64]], to: Path) -> None:
    """Draw the frame times as a picture."""
    from matplotlib.figure import Figure

    figure = Figure((8, 3))
    axes = figure.subplots()
    for name in ("idle", "speech"):
        axes.plot(times[name] * 1e3, label=name)
    axes.set(xlabel="frame", ylabel="ms")
    axes.legend()
    figure.savefig(to, dpi=110, bbox_inches="tight")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of the portrait renderer on one core")
    parser.add_argument("--image", type=Path, default=next(iter(sorted(ROOT.glob("recipes/*/image.*"))), None))
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    cv2.setNumThreads(1)
    output = VideoFormat()
    times = asyncio.run(frame_times(options.image, options.frames, output))
    others = stock(options.image, output, 60)
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{options.image}, {output.width}x{output.height}, one core{load}; start {times['start'][0]:.1f} s")
    reference = float(np.median(times["speech"]) * 1e3)
    print(f"{'':24} {'median':>8} {'p95':>8} {'p99':>8} {'fps':>8} {'ratio':>8}   (ms; ratio to portrait, speech)")
    for name in ("speech", "idle"):
        print(row(f"portrait, {name}", times[name], reference))
    for name, taken in others.items():
        print(row(name, taken, reference))
    print(f"CPU per frame: speech {times['speech cpu'][0] * 1e3:.2f} ms, idle {times['idle cpu'][0] * 1e3:.2f} ms")
    if options.plot:
        plot(times, options.plot)


if __name__ == "__main__":
    main()
