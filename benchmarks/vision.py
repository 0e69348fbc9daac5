"""What the character sees, on the pictures of tests/data/vision: every answer beside what it should be, and the cost.

python -m benchmarks.vision [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from animacy.core.plugins import Plugins
from animacy.core.provider import CharacterContext
from animacy.core.threads import Priority, worker
from animacy.core.vision.contract import Look, Perception, PictureSource
from animacy.core.vision.questions import answer

DATA = Path(__file__).parents[1] / "tests" / "data" / "vision"


def right(said: str | None, rule: dict[str, list[str]]) -> bool:
    """Whether an answer holds a phrase of each list of `all`, and none of `none`; letter case does not count."""
    told = (said or "").lower()
    wanted = all(any(phrase.lower() in told for phrase in choice.split("|")) for choice in rule.get("all", []))
    return bool(said) and wanted and not any(phrase.lower() in told for phrase in rule.get("none", []))


def main() -> None:
    """Print a table of answers and one of costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    provider = Plugins().load().get("vision", "perception")
    context = CharacterContext("Benchmark", threads=arguments.threads)
    perception: Perception = provider.create(provider.settings(), context)
    with worker("vision", Priority.BACKGROUND) as thread:
        started = time.monotonic()
        thread.submit(perception.load).result()
        print(f"models loaded in {time.monotonic() - started:.2f} s; {arguments.threads} threads, niceness 19\n")
        expected = yaml.safe_load((DATA / "expected.yaml").read_text())
        costs: dict[str, list[tuple[float, float]]] = {"camera": [], "screen": []}
        good = total = 0
        for name, questions in expected.items():
            source: PictureSource = "screen" if name.startswith("screen") else "camera"
            picture = np.asarray(Image.open(DATA / name).convert("RGB"))
            cpu, started = time.process_time(), time.monotonic()
            look: Look = thread.submit(perception.look, picture, source).result()
            seconds, cpu = time.monotonic() - started, time.process_time() - cpu
            costs[source].append((seconds, cpu))
            print(f"{name}  ({picture.shape[1]}x{picture.shape[0]}, {seconds:.2f} s, {cpu:.2f} cpu s)")
            for item in questions:
                said = answer(look, item["ask"])
                ok = right(said, item)
                good, total = good + ok, total + 1
                print(f"  {'right' if ok else 'WRONG'}  {item['ask']:<36} {said}")
        thread.submit(perception.close).result()
    print(f"\n{good} of {total} answers right, by the rules in {DATA.name}/expected.yaml")
    print("\n        looks  seconds p50   p95    cpu seconds p50   p95")
    for source, rows in costs.items():
        (s50, s95), (c50, c95) = (np.percentile([row[k] for row in rows], (50, 95)) for k in (0, 1))
        print(f"{source:<7} {len(rows):>5}  {s50:>11.2f} {s95:>5.2f}  {c50:>15.2f} {c95:>5.2f}")
    print(f"\nload of the machine when it ended: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
