"""`animacy run` with a transport that serves: load once, then talk with whoever comes, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from animacy.core.cli.run import models_of
from animacy.core.memory import keep_memory_together
from animacy.core.models import fetch_all
from animacy.core.pipeline.host import Host
from animacy.core.pipeline.transport import Server
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import LoadedRecipe


def serve(loaded: LoadedRecipe, plugins: Plugins, server: Server) -> None:
    """Serve until SIGINT or SIGTERM. Raises AnimacyError when it cannot begin."""
    keep_memory_together()
    fetch_all(models_of(loaded))
    asyncio.run(_serve(loaded, plugins, server))


async def _serve(loaded: LoadedRecipe, plugins: Plugins, server: Server) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    address = await server.bind()
    host = Host(loaded, plugins, note=lambda line: print(line, file=sys.stderr, flush=True))
    stopped = asyncio.create_task(stop.wait())
    serving: asyncio.Task[None] | None = None
    try:
        starting = asyncio.create_task(host.start())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            raise KeyboardInterrupt
        starting.result()
        serving = asyncio.create_task(server.serve(host), name="server")
        print(f"Talk to {loaded.recipe.character.name} at {address}   (Ctrl-C ends)", flush=True)
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
    finally:
        stopped.cancel()
        print("leaving", file=sys.stderr, flush=True)
        if serving is not None:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        await host.close()
