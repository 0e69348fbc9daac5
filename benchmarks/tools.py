"""Does the offline model choose the right tool, with the right arguments, and none when none is needed?

    python -m benchmarks.tools [--recipe recipes/iris/guide.yaml] [--out out/tools]

Every utterance of tests/data/tools/utterances.yaml is put to the recipe's language model as the first words of a
conversation; nothing is called. Right means: the named tool with exactly these arguments, or no tool. Prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import yaml

from animacy.core.errors import ToolError
from animacy.core.llm.contract import Grounds, Request, ToolCall
from animacy.core.llm.service import CharacterLLM
from animacy.core.pipeline.samples import percentile
from animacy.core.pipeline.session import machine
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import load_recipe
from animacy.core.tools.registry import Toolbox
from animacy.core.tools.schema import check
from benchmarks.serving import ROOT

UTTERANCES = ROOT / "tests" / "data" / "tools" / "utterances.yaml"
GUIDE = ROOT / "recipes" / "iris" / "guide.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=GUIDE)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "tools")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    conclude(asyncio.run(choose(options.recipe)), options.out)


async def choose(recipe: Path) -> list[dict[str, Any]]:
    loaded = load_recipe(recipe, Plugins().load())
    toolbox = Toolbox.of(loaded)
    await toolbox.load()
    llm = loaded.create("llm", tools=toolbox.tools)
    assert isinstance(llm, CharacterLLM)
    await llm.load()
    rows = []
    for case in yaml.safe_load(UTTERANCES.read_text(encoding="utf-8")):
        messages = llm._prompt.messages([{"role": "user", "content": case["say"]}])
        request = Request(messages, tools=tuple(toolbox.tools), grounds=Grounds("", ""), max_tokens=8)
        began = time.monotonic()
        events = [event async for event in llm._chat.stream(request, threading.Event())]
        seconds = time.monotonic() - began
        call = next((event for event in events if isinstance(event, ToolCall)), None)
        rows.append(judge(case, call, toolbox, seconds))
        print(row(rows[-1]), flush=True)
    await llm.cleanup()
    await toolbox.close()
    return rows


def judge(case: dict[str, Any], call: ToolCall | None, toolbox: Toolbox, seconds: float) -> dict[str, Any]:
    chosen = call.name if call is not None else "none"
    arguments: Any = {}
    if call is not None:
        tool = next(tool for tool in toolbox.tools if tool.name == call.name)
        try:
            arguments = check(tool.parameters, call.arguments)
        except ToolError as error:
            arguments = {"refused": str(error.args[0])}
    right = chosen == case["tool"] and (chosen == "none" or dict(arguments) == case["arguments"])
    return {**case, "chosen": chosen, "given": dict(arguments), "right": right, "seconds": round(seconds, 2)}


def row(result: dict[str, Any]) -> str:
    given = json.dumps(result["given"]) if result["given"] else ""
    verdict = "ok " if result["right"] else "BAD"
    return f"{verdict} {result['seconds']:5.2f} s  {result['say']:<62} {result['chosen']} {given}"


def conclude(rows: list[dict[str, Any]], out: Path) -> None:
    needing = [one for one in rows if one["tool"] != "none"]
    none = [one for one in rows if one["tool"] == "none"]
    share = sum(one["right"] for one in rows) / len(rows)
    seconds = {name: sorted(one["seconds"] for one in some) for name, some in (("tool", needing), ("none", none))}
    result = {
        "machine": machine(),
        "right": share,
        "needing_a_tool": f"{sum(one['right'] for one in needing)} of {len(needing)}",
        "needing_none": f"{sum(one['right'] for one in none)} of {len(none)}",
        "seconds": {name: {"p50": percentile(s, 0.5), "p95": percentile(s, 0.95)} for name, s in seconds.items()},
        "rows": rows,
    }
    (out / "summary.json").write_text(json.dumps(result, indent=2, ensure_ascii=False), encoding="utf-8")
    print(f"\nright {100 * share:.0f} %; needing a tool {result['needing_a_tool']}, none {result['needing_none']}")
    print(f"seconds until it is decided: {result['seconds']}; see {out / 'summary.json'}")


if __name__ == "__main__":
    main()
