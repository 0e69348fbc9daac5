"""The one call: a plugin through the suite of its role."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from animacy.core.errors import AnimacyError, PluginError
from animacy.core.plugins import ROLES, Plugins, Role, suggestion
from animacy.core.provider import CharacterContext, Settings
from animacy.core.threads import Priority, worker
from animacy.testing.bench import Bench, plain_settings
from animacy.testing.common import AFTER, BEFORE
from animacy.testing.material import Material
from animacy.testing.report import Outcome, Report, Result
from animacy.testing.roles import suite_of
from animacy.testing.rule import BrokenError, NotJudgedError, Rule
from animacy.testing.watch import LONGEST_STALL

RULE_SECONDS = 180.0
"""After which a rule is broken, whatever the plugin is still about."""
TRIES = 3
"""A busy machine may halt any event loop once: what stands still in so many tries is the plugin's."""


def check(
    role: str,
    name: str,
    settings: Settings | Mapping[str, Any] | None = None,
    plugins: Plugins | None = None,
    *,
    character: CharacterContext | None = None,
    material: Material | None = None,
    only: Collection[str] = (),
) -> Report:
    """Run a plugin through everything that plugins of its role are held to.

    Parameters:
        role: "stt", "llm", "tts", "video", "transport", "tool", "vision", "embedding" or "knowledge".
        name: what a recipe writes after `plugin:`.
        settings: what a recipe would say beside it.
        plugins: where the plugin is registered; those that are installed when left out.
        character: whom it is made for; relative paths in the settings start at its folder.
        material: what it is tried with.
        only: names of rules, to try again what failed; all when left out.

    Raises PluginError when there is no such plugin or rule, or its settings are not valid; what it does wrong is in the
    report.
    Runs an event loop of its own: from within one, await `check_async`.
    """
    return asyncio.run(check_async(role, name, settings, plugins, character=character, material=material, only=only))


async def check_async(
    role: str,
    name: str,
    settings: Settings | Mapping[str, Any] | None = None,
    plugins: Plugins | None = None,
    *,
    character: CharacterContext | None = None,
    material: Material | None = None,
    only: Collection[str] = (),
) -> Report:
    """The same within a running event loop, which nothing else should block meanwhile."""
    async with _bench(role, name, settings, plugins, character, material or Material()) as bench:
        _known(bench, only)
        results = [await _judged(bench, rule) for rule in BEFORE if not only or rule.name in only]
        async with _kept(bench):
            results += [await _judged(bench, rule) for rule in bench.suite.rules if not only or rule.name in only]
        results += [await _judged(bench, rule) for rule in AFTER if not only or rule.name in only]
        return Report(role, name, tuple(_clean(bench, result) for result in results))


@contextlib.asynccontextmanager
async def _bench(
    role: str,
    name: str,
    settings: Settings | Mapping[str, Any] | None,
    plugins: Plugins | None,
    character: CharacterContext | None,
    material: Material,
) -> AsyncIterator[Bench]:
    provider = (plugins or Plugins().load()).get(_role(role), name)
    with (
        tempfile.TemporaryDirectory(prefix="animacy-conform-") as folder,
        worker("conform", Priority.THINKING) as thread,
    ):
        character = character or _anybody(Path(folder))
        given = plain_settings(settings)
        try:
            context = {"base_dir": character.folder.resolve()}
            validated = provider.settings.model_validate(dict(given), context=context)
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, detail['loc'])) or 'settings'}: {detail['msg']}"
                for detail in error.errors(include_url=False, include_input=False)
            )
            raise PluginError(f"the settings for {role} {name} are not valid: {told}", "Correct them.") from None
        suite = suite_of(_role(role))
        bench = Bench(role, provider, given, validated, character, material, suite, Path(folder), thread)
        await bench.blocking(int)  # the thread is there before anything is compared with what was there
        with bench.listening():
            async with bench.watch.watching():
                yield bench


def _anybody(folder: Path) -> CharacterContext:
    """A character for plugins that are not tried for one of a recipe."""
    return CharacterContext("Iris", persona="You are Iris, a museum guide.", max_answer_tokens=64, folder=folder)


@contextlib.asynccontextmanager
async def _kept(bench: Bench) -> AsyncIterator[None]:
    """A loaded product beside those that are tried, so that what plugins share is loaded once."""
    if not bench.suite.kept:
        yield
        return
    product = None
    try:
        product = bench.make()
        await asyncio.wait_for(bench.suite.load(bench, product), RULE_SECONDS)
        bench.kept = product
    except Exception as error:  # a third party's code may fail in any way; the rule for loading has told of it
        bench.note(error)
        bench.unloaded = f"it does not load: {error}"
    try:
        yield
    finally:
        if product is not None:
            with contextlib.suppress(Exception):  # as before
                await bench.suite.close(bench, product)


async def _judged(bench: Bench, rule: Rule) -> Result:
    """Check a rule, and again while the event loop stands still meanwhile."""
    for _ in range(TRIES):
        bench.watch.reset()
        began = time.monotonic()
        outcome, details = await _verdict(bench, rule)
        seconds = time.monotonic() - began
        await asyncio.sleep(0.05)  # the watch sees what was at the very end
        if bench.watch.longest <= LONGEST_STALL or rule.may_stall or outcome == "failed":
            return Result(rule.name, outcome, seconds, details)
    where = bench.watch.where or "a place that lets no other thread run either"
    stalled = f"the event loop stood still for {bench.watch.longest:.1f} s at {where}"
    return Result(rule.name, "failed", seconds, f"{stalled}\n{details}".strip())


async def _verdict(bench: Bench, rule: Rule) -> tuple[Outcome, str]:
    limit = asyncio.timeout(RULE_SECONDS)
    try:
        async with limit:
            return "passed", await rule.check(bench) or ""
    except NotJudgedError as reason:
        return "skipped", str(reason)
    except BrokenError as broken:
        return "failed", str(broken)
    except AnimacyError as error:
        bench.note(error)
        return "failed", str(error)
    except asyncio.CancelledError:
        if asyncio.current_task().cancelling():  # type: ignore[union-attr]  # a coroutine runs in a task
            raise
        return "failed", "it raised CancelledError, though nobody cancelled it"
    except (Exception, SystemExit) as error:  # a third party's code may fail in any way
        if limit.expired():
            return "failed", f"it was not done after {RULE_SECONDS:.0f} s"
        bench.note(error)
        return "failed", f"{type(error).__name__}: {error}"


def _role(role: str) -> Role:
    for known in ROLES:
        if known == role:
            return known
    raise PluginError(f"there is no role {role!r}", suggestion(role, ROLES))


def _known(bench: Bench, only: Collection[str]) -> None:
    known = [rule.name for rule in (*BEFORE, *bench.suite.rules, *AFTER)]
    for name in only:
        if name not in known:
            raise PluginError(f"no rule for {bench.role} is called {name!r}", suggestion(name, known))


def _clean(bench: Bench, result: Result) -> Result:
    """The result without secrets: a report is shown to others."""
    details = result.details
    for secret in bench.secrets:
        details = details.replace(secret, "***")
    return replace(result, details=details)
