"""Half an hour of conversation in a real browser: does sound stay with picture, does memory grow, does it ever freeze?

    python -m benchmarks.soak [--minutes 30] [--every 15] [--out out/soak]

A headless Chromium opens the page with a microphone that plays the bundled questions, one every so many seconds, again
and again. The figures are the page's own: what it reports to the server once a second (docs/protocol.md, `stats`) and
`window.animacy`. Memory is the server's resident memory; it counts from the end of the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import numpy as np
import soundfile

from animacy.core.film import read_audio
from animacy.core.pipeline.samples import percentile
from animacy.core.pipeline.session import machine
from benchmarks.browser import Tab, chromium
from benchmarks.serving import IRIS, QUESTIONS, ROOT, Serving, serving

RATE = 48_000
SAMPLE_SECONDS = 10.0
SETTLED_SECONDS = 60.0
"""Memory is the median over so long."""
MIB = 1 << 20

LISTEN = """
(() => {
  const told = [];
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (typeof data === "string" && data.includes('"stats"')) {
      const message = JSON.parse(data);
      if (message.type === "stats") told.push(message.data);
      if (told.length > 600) told.shift();
    }
    return send.call(this, data);
  };
  window.__told = () => told.splice(0);
})();
"""
START = "[...document.querySelectorAll('button')].find((b) => b.textContent.includes('Start talking'))"


@dataclass(slots=True)
class Sample:
    """What was seen in SAMPLE_SECONDS. `at`: seconds since the conversation began; offsets and gap in ms."""

    at: float
    offsets: list[float]
    longest_gap_ms: float
    fps: float
    late: int
    dropped: int
    resident: int
    turns: int
    state: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=IRIS)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "soak")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=2.0, help="minutes that do not count")
    parser.add_argument("--every", type=float, default=15.0, help="seconds from one question to the next")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    conclude(*asyncio.run(soak(options)), options)


def microphone(path: Path, every: float) -> Path:
    """A WAV of all questions, the beginnings `every` seconds apart."""
    pieces = [np.zeros(int(every * RATE), np.int16)]
    for question in sorted(QUESTIONS.glob("*.flac")):
        samples = read_audio(question, RATE)
        pieces += [samples, np.zeros(max(0, int(every * RATE) - len(samples)), np.int16)]
    soundfile.write(path, np.concatenate(pieces), RATE)
    return path


async def soak(options: argparse.Namespace) -> tuple[list[Sample], dict[str, Any], list[str]]:
    sound = await asyncio.to_thread(microphone, options.out / "microphone.wav", options.every)
    log = options.out / "server.log"
    async with serving(options.recipe, options.port, log) as server, chromium(sound, LISTEN) as tab:
        await tab.call("Page.navigate", url=f"{server.url}/?connection=websocket")
        await tab.until(f"Boolean(window.animacy && {START})")
        await tab.evaluate(f"{START}.click()")
        await tab.until("window.animacy.stats().shown > 0", within=60.0)
        samples: list[Sample] = []
        began = before = time.monotonic()
        shown = await tab.evaluate("window.animacy.stats().shown")
        while before - began < 60 * (options.warm_up + options.minutes):
            await asyncio.sleep(SAMPLE_SECONDS)
            now = time.monotonic()
            sample, total = await look(tab, server, now - began)
            sample.fps = (total - shown) / (now - before)
            before, shown = now, total
            samples.append(sample)
            tell(sample)
        async with aiohttp.ClientSession() as http, http.get(f"{server.url}/api/metrics") as response:
            metrics = await response.json()
        return samples, metrics, tab.problems


async def look(tab: Tab, server: Serving, at: float) -> tuple[Sample, int]:
    """A sample without its rate, and how many pictures were shown in total."""
    told = await tab.evaluate("window.__told()")
    stats = await tab.evaluate("({...window.animacy.stats(), state: window.animacy.state})")
    sample = Sample(
        at=round(at, 1),
        offsets=[offset for one in told for offset in one.get("av_offset_ms", ())],
        longest_gap_ms=max((one.get("longest_gap_ms") or 0.0 for one in told), default=0.0),
        fps=0.0,
        late=stats.get("late", 0),
        dropped=stats.get("dropped", 0),
        resident=server.resident(),
        turns=stats.get("turns", 0),
        state=stats["state"],
    )
    return sample, int(stats["shown"])


def tell(sample: Sample) -> None:
    offsets = sorted(abs(offset) for offset in sample.offsets)
    worst = percentile(offsets, 0.95) if offsets else float("nan")
    print(
        f"{sample.at / 60:6.1f} min  |a/v| p95 {worst:5.1f} ms  gap {sample.longest_gap_ms:4.0f} ms  "
        f"{sample.fps:4.1f} fps  {sample.resident / MIB:6.1f} MiB  {sample.turns} turns  {sample.state}",
        flush=True,
    )


def conclude(samples: list[Sample], metrics: dict[str, Any], problems: list[str], options: argparse.Namespace) -> None:
    counted = [sample for sample in samples if sample.at > 60 * options.warm_up] or samples
    offsets = sorted(offset for sample in counted for offset in sample.offsets)
    absolute = sorted(map(abs, offsets))
    settled = max(1, round(SETTLED_SECONDS / SAMPLE_SECONDS))
    first = median(sample.resident for sample in counted[:settled])
    last = median(sample.resident for sample in counted[-settled:])
    result = {
        "machine": machine(),
        "minutes": round((counted[-1].at - counted[0].at) / 60, 1),
        "av_offset_ms": {
            "n": len(offsets),
            "p50": round(percentile(offsets, 0.5), 1) if offsets else None,
            "abs_p95": round(percentile(absolute, 0.95), 1) if offsets else None,
            "abs_max": round(absolute[-1], 1) if offsets else None,
        },
        "longest_gap_ms": max(sample.longest_gap_ms for sample in counted),
        "fps": {
            "p50": round(median(sample.fps for sample in counted), 2),
            "min": round(min(s.fps for s in counted), 2),
        },
        "late": counted[-1].late - counted[0].late,
        "dropped": counted[-1].dropped - counted[0].dropped,
        "resident_mib": {
            "start": round(first / MIB, 1),
            "end": round(last / MIB, 1),
            "growth": round((last - first) / MIB, 1),
        },
        "turns": counted[-1].turns,
        "not_live": sum(sample.state != "live" for sample in counted),
        "console_errors": problems[:20],
        "server": metrics,
    }
    rows = [{**asdict(sample), "offsets": len(sample.offsets)} for sample in samples]
    text = json.dumps({**result, "samples": rows}, indent=1)
    (options.out / "summary.json").write_text(text, encoding="utf-8")
    draw(samples, options.warm_up, options.out / "soak.png")
    for name in ("minutes", "av_offset_ms", "longest_gap_ms", "fps", "late", "dropped", "resident_mib", "turns"):
        print(f"  {name:<16} {result[name]}")
    print(f"see {options.out / 'summary.json'} and {options.out / 'soak.png'}")


def draw(samples: list[Sample], warm_up: float, path: Path) -> None:
    """A PNG of the figures over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 8), layout="constrained")
    offset, gap, rate, memory = figure.subplots(4, 1, sharex=True)
    minutes = [sample.at / 60 for sample in samples]
    seen = [sample for sample in samples if sample.offsets]
    for share, colour in ((0.05, "#9ecae1"), (0.5, "#2171b5"), (0.95, "#9ecae1")):
        values = [percentile(sorted(sample.offsets), share) for sample in seen]
        offset.plot([sample.at / 60 for sample in seen], values, color=colour, label=f"p{round(100 * share)}")
    offset.set_ylabel("sound - picture, ms")
    offset.legend(fontsize=8, ncols=3)
    gap.plot(minutes, [sample.longest_gap_ms for sample in samples], color="#54a24b")
    gap.set_ylabel("longest gap, ms")
    rate.plot(minutes, [sample.fps for sample in samples], color="#f58518")
    rate.set_ylabel("pictures a second")
    memory.plot(minutes, [sample.resident / MIB for sample in samples], color="#b279a2")
    memory.set_ylabel("server memory, MiB")
    memory.set_xlabel("minutes")
    for axes in (offset, gap, rate, memory):
        axes.axvspan(0, warm_up, color="#f0f0f0")
        axes.grid(color="#dddddd")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=120, format="png")


if __name__ == "__main__":
    main()
