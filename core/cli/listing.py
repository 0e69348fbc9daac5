"""`animacy plugins`: what is installed."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table

from animacy.core.plugins import Plugins


def print_plugins(plugins: Plugins, as_json: bool) -> None:
    """Print a table, or the same as JSON."""
    if as_json:
        print(json.dumps(_rows(plugins), indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("plugin", "version", "from", "provides", "state"):
        table.add_column(column, overflow="fold")
    for plugin in plugins.loaded:
        provides = "\n".join(f"{role} {provider.name}: {provider.summary}" for role, provider in plugin.providers)
        table.add_row(plugin.name, plugin.version, plugin.origin, provides, "failed" if plugin.error else "ok")
    Console(highlight=False, markup=False).print(table)
    for plugin in plugins.loaded:
        if plugin.error:
            print(f"{plugin.name} ({plugin.origin}) failed to load: {plugin.error}")


def _rows(plugins: Plugins) -> list[dict[str, object]]:
    return [
        {
            "name": plugin.name,
            "version": plugin.version,
            "origin": plugin.origin,
            "error": plugin.error,
            "provides": [
                {"role": role, "name": provider.name, "summary": provider.summary}
                for role, provider in plugin.providers
            ],
        }
        for plugin in plugins.loaded
    ]
