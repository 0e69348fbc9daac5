"""Forty questions to the documents, answered by the offline model: grounded, refused, or made up?

    python -m benchmarks.answers [--recipe recipes/iris/guide.yaml] [--out out/answers]

Each question of tests/data/knowledge/questions.yaml begins a conversation. The passages are found and the answer is
written as in a live one, without voice and picture. The rule that judges an answer is in that file, beside each
question. Every answer is printed, and written with its passages to summary.json, so that a person can disagree.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from animacy.core.knowledge.contract import Hit
from animacy.core.knowledge.grounding import KnowledgeFinding, KnowledgeSource
from animacy.core.knowledge.knowledge import knowledge_of
from animacy.core.llm.contract import Grounds, ToolCall
from animacy.core.llm.service import CharacterLLM
from animacy.core.pipeline.session import machine
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import load_recipe
from animacy.core.tools.registry import Toolbox
from benchmarks.serving import ROOT

QUESTIONS = ROOT / "tests" / "data" / "knowledge" / "questions.yaml"
GUIDE = ROOT / "recipes" / "iris" / "guide.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=GUIDE)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "answers")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    conclude(asyncio.run(ask(options.recipe)), options.out)


async def ask(recipe: Path) -> list[dict[str, Any]]:
    loaded = load_recipe(recipe, Plugins().load())
    knowledge, toolbox = knowledge_of(loaded), Toolbox.of(loaded)
    assert knowledge is not None and loaded.recipe.knowledge is not None
    await knowledge.load(print)
    await toolbox.load()
    llm = loaded.create("llm", tools=toolbox.tools)
    assert isinstance(llm, CharacterLLM)
    await llm.load()

    async def ignore(_: Sequence[Hit]) -> None:
        pass

    character = loaded.recipe.character
    section = loaded.recipe.knowledge
    source = KnowledgeSource(
        knowledge, section.characters, section.sure_score, section.unknown, character.language, ignore
    )
    file = yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))
    rows = []
    for case in file["questions"]:
        began = time.monotonic()
        finding = await source.find(case["question"], ())
        found = time.monotonic() - began
        text = await answer(llm, case["question"], finding)
        hits = finding.hits if isinstance(finding, KnowledgeFinding) else ()
        row = judge(case, text, hits, file["refusals"])
        row |= {"find_seconds": round(found, 3), "seconds": round(time.monotonic() - began, 2)}
        rows.append(row)
        print(line(row), flush=True)
    await llm.cleanup()
    await knowledge.close()
    await toolbox.close()
    return rows


async def answer(llm: CharacterLLM, question: str, finding: Any) -> str:
    """What the character says after its opening, or the tool it wants."""
    notes = [] if finding is None else [{"role": "developer", "content": finding.note}]
    request = llm._request([*notes, {"role": "user", "content": question}], finding.grounds if finding else Grounds())
    events = [event async for event in llm._chat.stream(request, threading.Event())]
    call = next((event for event in events if isinstance(event, ToolCall)), None)
    if call is not None:
        return f"[{call.name} {json.dumps(dict(call.arguments))}]"
    return "".join(event for event in events if isinstance(event, str)).strip()


def judge(case: Mapping[str, Any], text: str, hits: Sequence[Hit], refusals: Sequence[str]) -> dict[str, Any]:
    said = text.lower().replace("’", "'")
    rule = case["answer"]
    refused = any(phrase in said for phrase in refusals)
    made_up = any(str(phrase).lower() in said for phrase in rule.get("forbid", ()))
    if case["kind"] == "none":
        right = refused and not made_up
    else:
        named = all(any(str(p).lower() in said for p in group) for group in rule["accept"])
        right = named and not made_up and not refused
    passages = [f"{hit.passage.source}: {hit.passage.text[:60]} ({hit.score:.2f})" for hit in hits]
    # An unanswerable question that got an answer was made up, whatever it says.
    invented = made_up or (case["kind"] == "none" and not refused)
    return {
        **{key: case[key] for key in ("id", "kind", "half", "question")},
        "answer": text,
        "right": right,
        "refused": refused,
        "invented": invented,
        "passages": passages,
    }


def line(row: Mapping[str, Any]) -> str:
    verdict = "ok " if row["right"] else "BAD"
    return f"{verdict} {row['kind']:<4} {row['seconds']:5.1f} s  {row['question']}\n        {row['answer']}"


def conclude(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    def share(some: Sequence[Mapping[str, Any]], key: str = "right") -> dict[str, Any]:
        count = sum(bool(row[key]) for row in some)
        return {"n": len(some), key: count, "share": round(count / len(some), 3) if some else None}

    answerable = [row for row in rows if row["kind"] != "none"]
    unanswerable = [row for row in rows if row["kind"] == "none"]
    result = {
        "machine": machine(),
        "grounded": share(answerable),
        "one_passage": share([row for row in rows if row["kind"] == "one"]),
        "two_passages": share([row for row in rows if row["kind"] == "two"]),
        "refused": share(unanswerable),
        "invented": share(rows, "invented"),
        "held_out": share([row for row in rows if row["half"] == "held"]),
        "rows": rows,
    }
    (out / "summary.json").write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
    for name in ("grounded", "one_passage", "two_passages", "refused", "invented", "held_out"):
        print(f"  {name:<14} {result[name]}")
    print(f"see {out / 'summary.json'}")


if __name__ == "__main__":
    main()
