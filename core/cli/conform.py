"""`animacy conform`: does a plugin do what plugins of its role are held to?

The only place in core that knows the kit, which is imported when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer
import yaml

from animacy.core.cli.logs import quieten
from animacy.core.errors import RecipeError
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import LoadedRecipe, load_recipe


def conform(
    plugins: Plugins,
    role: str,
    name: str,
    settings: str | None,
    recipe: Path | None,
    only: Sequence[str],
    as_json: bool,
) -> None:
    """Print the report; exit code 1 when a rule is broken."""
    quieten(verbose=False)
    from animacy.testing import Material, check

    if recipe is None:
        report = check(role, name, _mapping(settings), plugins, only=only)
    else:
        loaded = load_recipe(recipe, plugins)
        given = _settings(loaded, role, name) if settings is None else _mapping(settings)
        video = replace(Material().video, fps=loaded.recipe.video.fps)
        material = Material(portrait=loaded.portrait, video=video)
        report = check(role, name, given, plugins, character=loaded.context(), material=material, only=only)
    print(json.dumps(report.as_dict(), indent=2) if as_json else report)
    if not report.ok:
        raise typer.Exit(1)


def _mapping(text: str | None) -> dict[str, Any]:
    try:
        given = yaml.safe_load(text or "{}")
    except yaml.YAMLError as error:
        raise RecipeError(f"--settings is no YAML: {error}", "Write it as in a recipe: '{key: value}'.") from error
    if not isinstance(given, dict):
        raise RecipeError("--settings is no mapping", "Write it as in a recipe: '{key: value}'.")
    return given


def _settings(loaded: LoadedRecipe, role: str, name: str) -> Any:
    """What the recipe says beside the plugin; nothing if it does not use it."""
    for choice in loaded.choices:
        if (choice.role, choice.provider.name) == (role, name):
            return choice.settings
    return None
