"""`animacy check`: is this recipe right?"""

from __future__ import annotations

import asyncio
from pathlib import Path

from animacy.core.models import fetch_all
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import LoadedRecipe, load_recipe
from animacy.core.video.contract import Renderer


def check_recipe(plugins: Plugins, recipe: Path, face: bool) -> None:
    """Print that all is well, or raise what is not."""
    loaded = load_recipe(recipe, plugins)
    if face:
        fetch_all(loaded.models("video"))
        asyncio.run(_analyse(loaded))
    character = loaded.recipe.character
    chosen = ", ".join(f"{choice.role} {choice.provider.name}" for choice in loaded.choices)
    print(f"{recipe}: {character.name} is ready ({chosen})")


async def _analyse(loaded: LoadedRecipe) -> None:
    renderer: Renderer = loaded.create("video")
    try:
        await renderer.start(loaded.portrait, loaded.recipe.video.video_format())
    finally:
        await renderer.close()
