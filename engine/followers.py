"""Processes that hold the other parts of an engine's networks, one for each further GPU, and end when the engine does.

They are started by the engine's own process, which leads: see `animacy.engine.team`. What they exchange goes through
NCCL between GPUs, and through Gloo between processes on a CPU.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
import torch.distributed as dist

from animacy.engine.config import Preset
from animacy.engine.denoiser import Denoiser
from animacy.engine.errors import EngineError
from animacy.engine.loading import Devices, check_memory, load_transformer, needing_memory
from animacy.engine.ranks import Ranks
from animacy.engine.team import NOBODY, Team, follow

_SECONDS_TO_STOP = 5.0


@dataclass(frozen=True, slots=True)
class Shared:
    """What all processes of an engine know: `Sessions` of it are made with the same."""

    preset: Preset
    weights: Path | None
    devices: Devices
    height: int
    width: int
    capacity: int


class Followers:
    """The processes beside this one; none where an engine has one GPU, or a second one for its decoder.

    `dit` are those who share the transformer with this process, `processes` is all of them, and `lost` gets the error
    when one has ended. Use `start` to make them; they end with `close`, and with this process, however that ends.
    """

    def __init__(self) -> None:
        self.dit = NOBODY
        self.lost: Future[None] = Future()
        self.processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self._names: list[str] = []
        self._folder: Path | None = None
        self._watching: threading.Thread | None = None
        self._closing = False

    @classmethod
    def start(cls, shared: Shared) -> Followers:
        """Start what `shared.devices` needs, and wait until all have met; they then load their parts.

        Raises:
            EngineError: there is an engine of several GPUs in this process already, or one of them ended.
        """
        followers = cls()
        if len(shared.devices.dit) > 1:
            if dist.is_initialized():
                raise EngineError("this process shares GPUs with others already", "close that engine first")
            try:
                followers._start(shared)
            except BaseException:
                followers.close()
                raise
        return followers

    def close(self) -> None:
        """Stop them and wait for their end. May be called twice."""
        if not self.processes or self._closing:
            return
        self._closing = True
        for connection in self._connections:
            connection.close()
        for process in self.processes:
            process.join(_SECONDS_TO_STOP)
            process.kill()
            process.join()
        if self._watching is not None:
            self._watching.join()
        if dist.is_initialized():
            dist.destroy_process_group()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, shared: Shared) -> None:
        # Where they meet, now and at the first exchange of each kind; only this user may open it.
        self._folder = Path(tempfile.mkdtemp(prefix="animacy-ranks-"))
        context = multiprocessing.get_context("spawn")
        for rank, device in list(enumerate(shared.devices.dit))[1:]:
            mine, theirs = context.Pipe()
            process = context.Process(target=_run, args=(shared, rank, self._folder, theirs), daemon=True)
            process.start()
            theirs.close()
            self.processes.append(process)
            self._connections.append(mine)
            self._names.append(f"part {rank + 1} of the transformer, on {device},")
        self._watching = threading.Thread(target=self._watch, name="engine followers", daemon=True)
        self._watching.start()
        with Team(lost=self.lost, connections=self._connections).together():
            for connection in self._connections:
                connection.recv_bytes()  # it is there: whoever is not would be waited for without end
            ranks = _join(shared, 0, self._folder)
        self.dit = Team(ranks, self._connections, self.lost)

    def _watch(self) -> None:
        """When one has ended nobody can go on: say which, end the others, and what waits for them on this GPU."""
        ended = wait([process.sentinel for process in self.processes])
        if self._closing:
            return
        codes = []
        for index, process in enumerate(self.processes):
            if process.sentinel in ended:
                process.join()
                codes.append((process.exitcode or 0, index))
        code, index = min(codes)  # others may have failed because one was killed
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else "failed"
        with contextlib.suppress(EOFError, OSError):
            while self._connections[index].poll():
                how = self._connections[index].recv_bytes().decode() or how
        self.lost.set_exception(EngineError(f"{self._names[index]} {how}", "start the engine again"))
        for process in self.processes:
            process.kill()
        group = self.dit.ranks.group
        if group is not None and dist.get_backend(group) == "nccl":
            group.abort()  # kernels that wait for a dead GPU end
        for process in self.processes:
            process.join()


def _join(shared: Shared, rank: int, folder: Path) -> Ranks:
    """Meet the others."""
    size = len(shared.devices.dit)
    backend = "nccl" if shared.devices.dit[0].type == "cuda" else "gloo"
    # PyTorch would end this process when another one is lost, before it can say which: `Followers` sees to that.
    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0")
    dist.init_process_group(backend, store=dist.FileStore(str(folder / "store"), size), rank=rank, world_size=size)
    return Ranks(rank, size, dist.group.WORLD)


def _run(shared: Shared, rank: int, folder: Path, connection: Connection) -> None:
    """A follower's life, in its own process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal: the first one decides
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    device = shared.devices.dit[rank]
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        connection.send_bytes(b"")
        ranks = _join(shared, rank, folder)
        check_memory(shared.preset, shared.height, shared.width, shared.capacity, shared.devices, rank)
        with needing_memory(shared.preset), torch.inference_mode():
            dit = load_transformer(shared.preset, shared.weights, device, ranks)
            follow(connection, Denoiser(shared.preset, dit, shared.height, shared.width, shared.capacity))
    except BaseException as error:
        with contextlib.suppress(OSError):
            connection.send_bytes(f"failed: {type(error).__name__}: {error}".encode())
        os._exit(1)
    os._exit(0)  # at once: the others may be gone, and what exchanges with them would wait for them


def _end_with_parent(folder: Path) -> None:
    """However the engine's process ends, and whatever this one waits for."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    shutil.rmtree(folder, ignore_errors=True)  # left behind by one that was killed
    os._exit(1)
