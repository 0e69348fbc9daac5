"""The pictures of tests/data/vision, shown to the character as visitors do: by Chromium's camera, and a shared tab.

    python -m benchmarks.sight [--recipe recipes/iris/guide.yaml] [--out out/sight]

Each picture has a browser of its own, whose camera or shared tab it is. Its questions are written in the page; what the
page shows as the answer is judged by the rule of expected.yaml. A question that needs no look is asked as well, so that
the time to the first words of both can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from animacy.core.pipeline.session import machine
from benchmarks.browser import Tab, chromium
from benchmarks.serving import ROOT, serving
from benchmarks.vision import DATA, right

GUIDE = ROOT / "recipes" / "iris" / "guide.yaml"
CONTROL = "What is your favourite colour?"
PATIENCE = 60.0
COSTS = ("seconds", "cpu_seconds")
TITLE = "What the visitor shares"
LINES = "window.animacy.captions.map((line) => [line.speaker, line.text])"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=GUIDE)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "sight")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    conclude(asyncio.run(show_all(options.recipe, options.out)), options.out)


async def show_all(recipe: Path, out: Path) -> list[dict[str, Any]]:
    """Every picture with all its questions."""
    expected = yaml.safe_load((DATA / "expected.yaml").read_text(encoding="utf-8"))
    rows = []
    async with serving(recipe, log=out / "server.log") as server:
        for name, questions in expected.items():
            for row in await show(server.url, server.process, DATA / name, [*questions, {"ask": CONTROL}]):
                rows.append(row)
                print(f"{row['verdict']:<6} {row['seconds']:4.1f} s  {row['picture']:<24} {row['ask']}", flush=True)
                print(f"        {row['answer']}")
    return rows


async def show(url: str, process: int, picture: Path, questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Show one picture to the server at `url` in a browser of its own and ask; a row for each question."""
    source = "screen" if picture.stem.startswith("screen") else "camera"
    with tempfile.TemporaryDirectory() as folder:
        shown, flag = (shared_tab if source == "screen" else camera)(picture, Path(folder))
        async with chromium(more=[flag, "--window-size=1280,880"]) as tab:
            if source == "screen":
                await tab.call("Target.createTarget", url=shown.as_uri(), background=True)
            await meet(tab, url)
            await tab.evaluate(f"document.getElementById('{source}').click()")
            await tab.until(f"document.getElementById('self-{source}').videoWidth > 0")
            await asyncio.sleep(2.5)  # a picture leaves every second
            rows = []
            for question in questions:
                before = cpu_seconds(process)
                answer, seconds = await ask(tab, question["ask"])
                cost = cpu_seconds(process) - before
                judged = "all" in question or "none" in question
                verdict = ("right" if right(answer, question) else "WRONG") if judged else "-"
                rows.append(
                    {"picture": picture.name, "ask": question["ask"], "answer": answer, "verdict": verdict}
                    | {"seconds": round(seconds, 2), "cpu_seconds": round(cost, 2)}
                )
            if tab.problems:
                raise RuntimeError(f"the page complains: {tab.problems}")
            await tab.evaluate("document.getElementById('leave')?.click()")
            await asyncio.sleep(2.0)  # the character turns to the next visitor
            return rows


def camera(picture: Path, folder: Path) -> tuple[Path, str]:
    """A film of one picture for Chromium's camera."""
    film = folder / "camera.mjpeg"
    with Image.open(picture) as image:
        image.convert("RGB").save(folder / "one.jpg", quality=95)
    film.write_bytes((folder / "one.jpg").read_bytes() * 4)
    return film, f"--use-file-for-fake-video-capture={film}"


def shared_tab(picture: Path, folder: Path) -> tuple[Path, str]:
    """A page that shows the picture, which Chromium shares without asking."""
    page = folder / "shared.html"
    style = "margin:0;display:block"
    page.write_text(f"<title>{TITLE}</title><body style='{style}'><img style='{style}' src='{picture.as_uri()}'>")
    return page, f"--auto-select-tab-capture-source-by-title={TITLE}"


async def meet(tab: Tab, url: str) -> None:
    """Open the page, start, and wait until the greeting is over."""
    await tab.call("Page.navigate", url=url)
    await tab.until("Boolean(window.animacy && document.getElementById('start') && !start.hidden)")
    await tab.evaluate("document.getElementById('start').click()")
    await tab.until("window.animacy.stats().shown > 0", within=PATIENCE)
    await tab.until("window.animacy.captions.length > 0 && window.animacy.character === 'listening'", within=PATIENCE)


async def ask(tab: Tab, text: str) -> tuple[str, float]:
    """Write to the character. Returns what it answered, and the seconds to its first words."""
    said = await tab.evaluate("window.animacy.captions.length")
    began = time.monotonic()
    await tab.evaluate(
        f"document.getElementById('text').value = {json.dumps(text)}; document.getElementById('write').requestSubmit()"
    )
    await tab.until(f"{LINES}.slice({said}).some(([speaker]) => speaker !== 'user')", within=PATIENCE)
    seconds = time.monotonic() - began
    await tab.until("window.animacy.character === 'speaking'", within=PATIENCE)
    await tab.until("window.animacy.character === 'listening'", within=PATIENCE)
    lines = (await tab.evaluate(LINES))[said:]
    return " ".join(said for speaker, said in lines if speaker != "user"), seconds


def cpu_seconds(process: int) -> float:
    """Seconds of a core that a process used so far (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def conclude(rows: list[dict[str, Any]], out: Path) -> None:
    judged = [row for row in rows if row["verdict"] != "-"]
    good = sum(row["verdict"] == "right" for row in judged)
    groups = {
        "camera": [row for row in judged if row["picture"].startswith("camera")],
        "screen": [row for row in judged if row["picture"].startswith("screen")],
        "no look": [row for row in rows if row["verdict"] == "-"],
    }
    result = {"machine": machine(), "right": good, "of": len(judged), "rows": rows}
    (out / "summary.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"\n{good} of {len(judged)} answers right\n\n         n   first words p50    p95   server cpu s p50    p95")
    for name, some in groups.items():
        (s50, s95), (c50, c95) = (np.percentile([row[key] for row in some], (50, 95)) for key in COSTS)
        print(f"{name:<7} {len(some):>3}  {s50:>14.2f} {s95:>6.2f}  {c50:>15.2f} {c95:>6.2f}")
    print(f"see {out / 'summary.json'}")


if __name__ == "__main__":
    main()
