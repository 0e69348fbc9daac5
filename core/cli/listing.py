"""`animacy plugins`: what is installed, and whether it can be used here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from animacy.core.health import Need, needs
from animacy.core.plugins import BUILT_IN_ORIGIN, LoadedPlugin, Plugins, Role
from animacy.core.provider import Provider

Offer = tuple[Role, Provider, Sequence[Need]]


def print_plugins(plugins: Plugins, as_json: bool) -> None:
    """Print a table and below it what is missing, or all of it as JSON."""
    offers = {plugin.name: _offers(plugin) for plugin in plugins.loaded}
    if as_json:
        print(json.dumps([_row(plugin, offers[plugin.name]) for plugin in plugins.loaded], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("role", "name", "state", "from"):
        table.add_column(column, no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for plugin in plugins.loaded:
        origin = plugin.origin if plugin.origin == BUILT_IN_ORIGIN else f"{plugin.origin}\n{plugin.version}"
        for role, provider, lacking in offers[plugin.name]:
            state = "\n".join(dict.fromkeys(f"needs {need.kind}" for need in lacking)) or "ok"
            table.add_row(role, provider.name, state, origin, provider.summary)
        if not plugin.providers:
            table.add_row("", plugin.name, "failed" if plugin.error else "ok", origin, "")
    Console(highlight=False, markup=False).print(table)
    for plugin in plugins.loaded:
        for _, provider, lacking in offers[plugin.name]:
            for need in lacking:
                print(f"{provider.name} needs {need.name}: {need.remedy}")
        if plugin.error:
            print(f"{plugin.name} ({plugin.origin}) failed to load: {plugin.error}")


def _offers(plugin: LoadedPlugin) -> list[Offer]:
    return [(role, provider, needs(provider, plugin.distribution)) for role, provider in plugin.providers]


def _row(plugin: LoadedPlugin, offers: Sequence[Offer]) -> dict[str, object]:
    return {
        "name": plugin.name,
        "version": plugin.version,
        "origin": plugin.origin,
        "error": plugin.error,
        "provides": [
            {
                "role": role,
                "name": provider.name,
                "summary": provider.summary,
                "usable": not lacking,
                "needs": [asdict(need) for need in lacking],
            }
            for role, provider, lacking in offers
        ],
    }
