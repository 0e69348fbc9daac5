"""Runs an engine: in this process, or in one of its own by `python -m animacy.engine.serve`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from animacy.core.errors import AnimacyError
from animacy.engine import protocol
from animacy.engine.address import Address
from animacy.engine.config import Preset, preset
from animacy.engine.errors import EngineError, needing_torch
from animacy.engine.spread import spread

if TYPE_CHECKING:
    from animacy.engine.loading import Devices
    from animacy.engine.sessions import Sessions

LOADING_SHARE = 0.3
"""Of the time until an engine is ready, what loading takes; the rest is warming up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What is served.

    `size` is (width, height) in pixels, None the preset's. `weights` is a folder, None takes random ones. `devices` is
    one for all, or first those that share the transformer, then the decoder's (`animacy.engine.spread`). `capacity`
    characters may be on it at a time. `patience` is how long one may let the others wait
    (`animacy.engine.scheduler`). `fp8`, `steps`, `window` and `memory` are those of `Preset.tuned`.
    """

    preset: str
    weights: str | None = None
    devices: tuple[str, ...] = ("auto",)
    size: tuple[int, int] | None = None
    capacity: int = 1
    patience: float = 1.0
    fp8: bool = False
    steps: int | None = None
    window: int | None = None
    memory: int | None = None

    def resolve(self) -> tuple[Preset, int, int]:
        """The preset, and height and width. Raises EngineError for one that there is not, or that cannot be drawn."""
        chosen = preset(self.preset).tuned(self.fp8, self.steps, self.window, self.memory)
        height, width = (self.size[1], self.size[0]) if self.size else chosen.size
        chosen.latent_size(height, width)
        chosen.dit.check_split(spread(len(self.devices)).dit)
        if self.capacity < 1:
            raise EngineError(f"an engine for {self.capacity} characters", "take 1 or more")
        return chosen, height, width

    def dump(self) -> str:
        """As one argument of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> EngineOptions:
        """What `dump` gave."""
        fields = json.loads(text)
        size = fields.pop("size")
        return cls(size=tuple(size) if size else None, devices=tuple(fields.pop("devices")), **fields)


async def serve(
    options: EngineOptions,
    address: Address,
    listening: Callable[[Address], None] = lambda address: None,
    progress: Callable[[str, float], None] = lambda text, done: None,
) -> None:
    """Serve until cancelled.

    Args:
        options: what to serve.
        address: where; port 0 finds one.
        listening: told the address when callers may call, which is before anything is loaded.
        progress: told what loading and warming up do, and the share of all that is done.

    Raises:
        EngineError: it does not fit, the address is taken, PyTorch is missing, or the engine failed.
        WeightsError: the weights do not fit.
    """
    chosen, height, width = options.resolve()
    with needing_torch():
        from animacy.engine.loading import Devices
        from animacy.engine.scheduler import Scheduler
        from animacy.engine.server import EngineServer
    devices = Devices.parse(options.devices)
    loop = asyncio.get_running_loop()

    def tell(text: str, done: float) -> None:
        progress(text, done)
        server.tell_progress(text, done)

    def tell_from_thread(text: str, done: float) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, text, done)

    scheduler = Scheduler(chosen, lambda: _load(options, devices, tell_from_thread), patience=options.patience)
    ready = protocol.Ready(
        preset=chosen.name,
        height=height,
        width=width,
        fps=chosen.stream.fps,
        frames=chosen.stream.chunk * chosen.vae.temporal_factor,
        capacity=options.capacity,
        random_weights=options.weights is None,
    )
    server = EngineServer(scheduler, ready, devices.memory)
    await server.serve(address, listening)


def _load(options: EngineOptions, devices: Devices, progress: Callable[[str, float], None]) -> Sessions:
    """Everything that takes long; in the engine's thread."""
    from animacy.engine.followers import Followers, Shared
    from animacy.engine.loading import check_memory, load_models, needing_memory
    from animacy.engine.sessions import Sessions

    chosen, height, width = options.resolve()
    weights = Path(options.weights) if options.weights is not None else None
    check_memory(chosen, height, width, options.capacity, devices, devices.own)
    progress(f"loading {chosen.name}", 0.0)
    with contextlib.ExitStack() as unless_done:
        followers = Followers.start(Shared(chosen, weights, devices, height, width, options.capacity))
        unless_done.callback(followers.close)
        with needing_memory(chosen):
            models = load_models(chosen, weights, devices, followers.dit.ranks, followers.vae.ranks)
            sessions = Sessions(chosen, *models, height, width, options.capacity, followers)
            unless_done.callback(sessions.close)
            progress("warming up", LOADING_SHARE)
            sessions.warm_up(lambda text, done: progress(text, LOADING_SHARE + (1 - LOADING_SHARE) * done))
        unless_done.pop_all()
    return sessions


async def _run(options: EngineOptions, address: Address) -> None:
    """Serve until a signal comes or standard input closes, which is when whoever started this process has ended."""
    serving = asyncio.current_task()
    assert serving is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    watching = asyncio.create_task(reader.read(1))
    watching.add_done_callback(lambda _: serving.cancel())
    with contextlib.suppress(asyncio.CancelledError):
        await serve(options, address)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve for the process that started this one, at a socket in a folder that was made for it."""
    parser = argparse.ArgumentParser(prog="python -m animacy.engine.serve", description=__doc__)
    parser.add_argument("options", type=EngineOptions.load, help="EngineOptions as JSON")
    parser.add_argument("address", type=Address.parse, help="path of a Unix socket, or 127.0.0.1:PORT")
    parsed = parser.parse_args(arguments)
    try:
        asyncio.run(_run(parsed.options, parsed.address))
    except AnimacyError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    finally:
        if parsed.address.path is not None:
            with contextlib.suppress(OSError):  # it is not empty, or gone already
                parsed.address.path.parent.rmdir()
    return 0


if __name__ == "__main__":
    sys.exit(main())
