"""A real server with a real character, in this process, so that what it leaves behind can be counted."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from animacy.core.pipeline.host import Host
from animacy.core.pipeline.loading import Products
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import LoadedRecipe, load_recipe
from tests.conftest import RECIPES


@dataclass(frozen=True, slots=True)
class Live:
    """A server that takes visitors."""

    url: str
    host: Host


@pytest.fixture(scope="session")
def iris() -> LoadedRecipe:
    """Iris in a small picture and in few words: the same work, less of it."""
    loaded = load_recipe(RECIPES / "iris" / "recipe.yaml", Plugins().load())
    video = loaded.recipe.video.model_copy(update={"width": 640, "height": 360})
    limits = loaded.recipe.limits.model_copy(update={"max_answer_tokens": 32})
    return dataclasses.replace(loaded, recipe=loaded.recipe.model_copy(update={"video": video, "limits": limits}))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def models(iris) -> AsyncIterator[None]:
    """Keeps the models loaded from test to test."""
    products = Products(iris, lambda _: None)
    await products.load()
    yield
    await products.close()


@contextlib.asynccontextmanager
async def serving(loaded: LoadedRecipe, limits: dict | None = None, **settings) -> AsyncIterator[Live]:
    """A server on a free port, with other limits and settings of the web transport if wanted."""
    web = loaded.chosen["transport"].settings.model_copy(update={"port": 0, "grace": 3.0, **settings})
    recipe = loaded.recipe.model_copy(update={"limits": loaded.recipe.limits.model_copy(update=limits or {})})
    loaded = dataclasses.replace(loaded, recipe=recipe).with_choice(
        "transport", loaded.chosen["transport"].provider, web
    )
    server = loaded.create("transport")
    url = await server.bind()
    host = Host(loaded, Plugins().load(), note=lambda _: None)
    await host.start()
    task = asyncio.create_task(server.serve(host))
    await asyncio.sleep(0)
    try:
        yield Live(url, host)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await host.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def live(iris, models) -> AsyncIterator[Live]:
    """One server for all tests that end what they begin."""
    async with serving(iris) as running:
        yield running
