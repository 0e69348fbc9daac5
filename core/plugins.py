"""Finding plugins: the built-in ones, and those of other packages by the entry-point group `animacy`.

A plugin that fails to load is kept with its error and nothing else is harmed. ANIMACY_LOAD_PLUGINS, a comma-separated
list of distribution names, limits which third-party plugins load; empty means none.
"""

from __future__ import annotations

import difflib
import importlib
import os
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

import pluggy
import typer

from animacy.core import hookspecs
from animacy.core.errors import PluginError
from animacy.core.provider import Provider, Settings

GROUP = "animacy"
LOAD_VARIABLE = "ANIMACY_LOAD_PLUGINS"
BUILT_IN_ORIGIN = "built in"
BUILT_IN = (
    "whisper",
    "deepgram",
    "llama",
    "openai_compatible",
    "langchain",
    "kokoro",
    "piper",
    "cartesia",
    "portrait",
    "video_engine",
    "file",
    "web",
    "daily",
    "client_event",
    "page_actions",
    "backend_rpc",
    "python_tool",
    "mcp",
    "perception",
    "chroma",
    "minilm",
    "sentence_transformers",
    "langchain_embeddings",
)

Role = Literal["stt", "llm", "tts", "video", "transport", "embedding", "knowledge", "tool", "vision"]
ROLES: tuple[Role, ...] = get_args(Role)
REQUIRED_ROLES: tuple[Role, ...] = ("stt", "llm", "tts", "video", "transport")
"""Without these there is no character; the others are left out of a recipe that does not name them."""
CHAINED_ROLES: tuple[Role, ...] = ("stt", "llm", "tts")
"""A recipe may name several plugins for each of these: the next one does the work when one fails."""


@dataclass(slots=True)
class LoadedPlugin:
    """One plugin: where it came from, what it offers, and the error that kept it from working, if any.

    `origin` is for people, `distribution` the installed package it is part of, if it is part of one.
    """

    name: str
    origin: str
    version: str
    distribution: str | None = None
    providers: list[tuple[Role, Provider]] = field(default_factory=list)
    error: str | None = None


class Plugins:
    """Every plugin of this process, and the providers they offer by role and name."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.loaded: list[LoadedPlugin] = []
        self._providers: dict[tuple[Role, str], Provider] = {}

    def load(self) -> Plugins:
        """Load the built-in plugins, then the installed ones."""
        version = metadata.version("animacy")
        for name in BUILT_IN:
            self._load_one(
                LoadedPlugin(name, BUILT_IN_ORIGIN, version, "animacy"),
                lambda name=name: importlib.import_module(f"animacy.plugins.{name}"),
            )
        for entry in _allowed(metadata.entry_points(group=GROUP)):
            dist = entry.dist
            origin, version = (dist.name, dist.version) if dist else ("unknown package", "")
            self._load_one(LoadedPlugin(entry.name, origin, version, dist.name if dist else None), entry.load)
        return self

    def register(self, plugin: object, name: str, origin: str = "this process") -> None:
        """Add a plugin object or module by hand, as tests and embedding programs do."""
        self._load_one(LoadedPlugin(name, origin, ""), lambda: plugin)

    def get(self, role: Role, name: str) -> Provider:
        """The provider of that name. Raises PluginError, with the near matches, when there is none."""
        provider = self._providers.get((role, name))
        if provider is not None:
            return provider
        broken = next((plugin for plugin in self.loaded if plugin.error and plugin.name == name), None)
        if broken:
            raise PluginError(
                f"the plugin {name!r} ({broken.origin}) failed to load: {broken.error}", "Update or remove it."
            )
        raise PluginError(f"no {role} plugin is called {name!r}", suggestion(name, self.names(role)))

    def names(self, role: Role) -> list[str]:
        """The names a recipe may write for a role."""
        return sorted(name for kind, name in self._providers if kind == role)

    def settings(self, role: Role, name: str) -> type[Settings]:
        """The Settings class of a provider."""
        return self.get(role, name).settings

    def add_commands(self, app: typer.Typer) -> None:
        """Let plugins add their commands; one that fails is reported and leaves the others alone."""
        for plugin in list(self.loaded):
            implementation = self.manager.get_plugin(plugin.name)
            if implementation is None or not hasattr(implementation, "register_commands"):
                continue
            try:
                implementation.register_commands(app=app)
            except Exception as error:  # a third party's code may fail in any way, and must not take the CLI with it
                plugin.error = _describe(error)

    def _load_one(self, record: LoadedPlugin, load: Any) -> None:
        self.loaded.append(record)
        try:
            implementation = load()
            self.manager.register(implementation, name=record.name)
            try:
                record.providers = list(self._offered_by(implementation))
            except BaseException:
                self.manager.unregister(name=record.name)
                raise
        except Exception as error:  # a third party's code may fail in any way, and must not take the CLI with it
            record.error = _describe(error)
            return
        for role, provider in record.providers:
            self._providers[role, provider.name] = provider

    def _offered_by(self, implementation: object) -> Iterable[tuple[Role, Provider]]:
        self.manager.check_pending()
        for role in ROLES:
            hook = getattr(implementation, f"{role}_providers", None)
            if hook is None:
                continue
            offered = hook() or ()
            for provider in [offered] if isinstance(offered, Provider) else offered:
                if not isinstance(provider, Provider):
                    raise TypeError(f"{role}_providers returned {type(provider).__name__}, expected Provider")
                taken = self._providers.get((role, provider.name))
                if taken is not None:
                    raise ValueError(f"another plugin already provides {role} {provider.name!r}")
                yield role, provider


def suggestion(word: str, known: Iterable[str]) -> str:
    """A remedy naming the closest known word, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{close[0]}"?'
    return f"Known: {', '.join(known)}." if known else "None is installed."


def _allowed(entries: Iterable[metadata.EntryPoint]) -> Iterable[metadata.EntryPoint]:
    limit = os.environ.get(LOAD_VARIABLE)
    if limit is None:
        return entries
    names = {name.strip() for name in limit.split(",") if name.strip()}
    return [entry for entry in entries if entry.dist and entry.dist.name in names]


def _describe(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f" (line {frame.lineno} of {Path(frame.filename).name})" if frame else ""
    return f"{type(error).__name__}: {error}{where}"
