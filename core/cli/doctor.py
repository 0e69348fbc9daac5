"""`animacy doctor`: what is here, what is missing, and what it costs."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from animacy.core.errors import AnimacyError, ModelError
from animacy.core.models import Model, cache_dir, fetch_all
from animacy.core.models.progress import megabytes
from animacy.core.plugins import REQUIRED_ROLES, Plugins
from animacy.core.provider import CharacterContext
from animacy.core.recipe_loader import Choice, load_recipe, role_default

LOAD_TIMEOUT = 120.0


@dataclass(slots=True)
class Finding:
    """One provider: its models, and what loading it costs in a process of its own."""

    role: str
    provider: str
    models: list[str]
    state: str
    disk: int
    licence: str
    load_seconds: float | None = None
    memory: int | None = None


def examine(plugins: Plugins, recipe: Path | None, fetch: bool, verify: bool, load: bool, as_json: bool) -> None:
    """Print a row for each provider; exits with 5 if something is missing or does not load."""
    findings = []
    for number, choice in enumerate(_needed(plugins, recipe)):
        models = list(choice.provider.models(choice.settings))
        if fetch:
            fetch_all(models, repair=True)
        finding = _look(choice, models, verify)
        if load and finding.state == "ok" and (models or choice.role != "transport") and (recipe or models):
            _measure_load(finding, recipe, number)
        findings.append(finding)
    broken = [plugin for plugin in plugins.loaded if plugin.error]
    if as_json:
        print(json.dumps({"cache": str(cache_dir()), "providers": [asdict(finding) for finding in findings]}, indent=2))
    else:
        _print(findings)
        for plugin in broken:
            print(f"plugin {plugin.name} ({plugin.origin}) failed to load: {plugin.error}")
    if any(finding.state != "ok" for finding in findings):
        command = f"animacy doctor {recipe} --fetch" if recipe is not None else "animacy doctor --fetch"
        print(f"Something is missing: `{command}` brings it here.", file=sys.stderr)
        raise typer.Exit(ModelError.exit_code)


def _needed(plugins: Plugins, recipe: Path | None) -> list[Choice]:
    """What a recipe chose, or what one that chooses nothing gets."""
    if recipe is not None:
        return load_recipe(recipe, plugins).choices
    needed = []
    for role in REQUIRED_ROLES:
        provider = plugins.get(role, role_default(role))
        needed.append(Choice(role, provider, provider.settings()))
    return needed


def _look(choice: Choice, models: list[Model], verify: bool) -> Finding:
    finding = Finding(
        role=choice.role,
        provider=choice.provider.name,
        models=[model.name for model in models],
        state="ok",
        disk=sum(model.size or 0 for model in models),
        licence=", ".join(sorted({model.licence for model in models})),
    )
    try:
        missing = [model.name for model in models if not model.present()]
        if missing:
            finding.state = f"missing: {', '.join(missing)}"
        elif verify:
            for model in models:
                model.verify()
    except AnimacyError as error:
        finding.state = str(error)
    return finding


def _measure_load(finding: Finding, recipe: Path | None, number: int) -> None:
    """Load in a process of its own, so that memory is the model's and a crash is a finding."""
    command = [sys.executable, "-m", "animacy.core.cli.doctor", str(number)]
    if recipe is not None:
        command.append(str(recipe))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        finding.state = f"did not load within {LOAD_TIMEOUT:.0f} s"
        return
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        finding.state = f"does not load: {lines[-1] if lines else f'exit code {done.returncode}'}"
        return
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    finding.load_seconds, finding.memory = measured["seconds"], measured["memory"]


def _print(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("role", "plugin", "models", "disk", "load", "memory", "licence", "state"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(
            finding.role,
            finding.provider,
            "\n".join(finding.models),
            megabytes(finding.disk) if finding.disk else "",
            "" if finding.load_seconds is None else f"{finding.load_seconds:.1f} s",
            "" if finding.memory is None else megabytes(finding.memory),
            finding.licence,
            finding.state,
        )
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"models are kept in {cache_dir()}")


async def _load(number: int, recipe: Path | None) -> None:
    plugins = Plugins().load()
    choice = _needed(plugins, recipe)[number]
    if recipe is None:
        product = choice.provider.create(choice.settings, CharacterContext(name="doctor"))
    else:
        loaded = load_recipe(recipe, plugins)
        product = loaded.create(choice)
        if choice.role == "video":
            await product.start(loaded.portrait, loaded.recipe.video.video_format())
            return
    if hasattr(product, "load"):
        loading = product.load()  # models that know no event loop just block
        if inspect.isawaitable(loading):
            await loading
    if choice.role == "tool":
        await product.close()


def _resident() -> int:
    """Bytes of memory this process holds, 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 if status.exists() else 0


def _measure_here(number: str, recipe: str | None = None) -> dict[str, Any]:
    from animacy.core.cli.logs import quieten

    quieten(verbose=False)
    before, began = _resident(), time.monotonic()
    asyncio.run(_load(int(number), Path(recipe) if recipe is not None else None))
    return {"seconds": round(time.monotonic() - began, 2), "memory": max(0, _resident() - before)}


if __name__ == "__main__":
    try:
        print(json.dumps(_measure_here(*sys.argv[1:])))
    except AnimacyError as error:
        sys.exit(str(error).splitlines()[0])
