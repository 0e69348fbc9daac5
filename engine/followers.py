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

from animacy.engine.clock import Clock
from animacy.engine.config import Preset
from animacy.engine.denoiser import Denoiser
from animacy.engine.errors import EngineError
from animacy.engine.frames import FrameDecoder
from animacy.engine.loading import Devices, check_memory, load_autoencoder, load_transformer, needing_memory
from animacy.engine.ranks import ALONE, Ranks
from animacy.engine.team import NOBODY, Team, follow

_SECONDS_TO_STOP = 5.0
_DIT, _VAE = "transformer", "decoder"


@dataclass(frozen=True, slots=True)
class Shared:
    """What all processes of an engine know: `Sessions` of it are made with the same."""

    preset: Preset
    weights: Path | None
    devices: Devices
    height: int
    width: int
    capacity: int


@dataclass(frozen=True, slots=True)
class _Role:
    """What a follower is: which part of which network, on which device, and the device's number in the plan."""

    network: str
    part: int
    device: torch.device
    number: int

    def __str__(self) -> str:
        return f"part {self.part + 1} of the {self.network}, on {self.device},"


class Followers:
    """The processes beside this one; none where an engine has one GPU, or a second one for its decoder.

    `dit` and `vae` are those who share the transformer and the decoder with this process, `processes` is all of them,
    and `lost` gets the error when one has ended. Use `start` to make them; they end with `close`, and with this
    process, however that ends.
    """

    def __init__(self) -> None:
        self.dit = self.vae = NOBODY
        self.lost: Future[None] = Future()
        self.processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self._roles: list[_Role] = []
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
        followers._roles = _roles(shared.devices)
        if followers._roles:
            if dist.is_initialized():
                raise EngineError("this process shares GPUs with others already", "close that engine first")
            try:
                followers._start(shared)
            except BaseException:
                followers.close()
                raise
        return followers

    def close(self) -> None:
        """Stop them and wait for their end, after whatever replays graphs with them is closed. May be called twice."""
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
        for index in range(len(self._roles)):
            mine, theirs = context.Pipe()
            process = context.Process(target=_run, args=(shared, index, self._folder, theirs), daemon=True)
            process.start()
            theirs.close()
            self.processes.append(process)
            self._connections.append(mine)
        self._watching = threading.Thread(target=self._watch, name="engine followers", daemon=True)
        self._watching.start()
        with Team(lost=self.lost, connections=self._connections).together():
            for connection in self._connections:
                connection.recv_bytes()  # it is there: whoever is not would be waited for without end
            ranks = _join(shared, 0, self._folder)
        self.dit, self.vae = (self._team(network, ranks[network]) for network in (_DIT, _VAE))

    def _team(self, network: str, ranks: Ranks) -> Team:
        connections = zip(self._connections, self._roles, strict=True)
        return Team(ranks, [to for to, role in connections if role.network == network], self.lost)

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
        self.lost.set_exception(EngineError(f"{self._roles[index]} {how}", "start the engine again"))
        for process in self.processes:
            process.kill()
        for group in (self.dit.ranks.group, self.vae.ranks.group):
            if group is not None and dist.get_backend(group) == "nccl":
                group.abort()  # kernels that wait for a dead GPU end
        for process in self.processes:
            process.join()


def _roles(devices: Devices) -> list[_Role]:
    """Of all followers of an engine; number 0 is this process, which has the first part of both networks."""
    return [
        _Role(network, part, device, first + part)
        for network, parts, first in ((_DIT, devices.dit, 0), (_VAE, devices.vae, len(devices.dit)))
        for part, device in enumerate(parts)
        if part
    ]


def _join(shared: Shared, rank: int, folder: Path) -> dict[str, Ranks]:
    """Meet the others; `rank` 0 leads, follower i has i + 1. Returns this process's place in each network."""
    roles = _roles(shared.devices)
    backend = "nccl" if shared.devices.dit[0].type == "cuda" else "gloo"
    # PyTorch would end this process when another one is lost, before it can say which: `Followers` sees to that.
    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0")
    size = 1 + len(roles)
    dist.init_process_group(backend, store=dist.FileStore(str(folder / "store"), size), rank=rank, world_size=size)
    found = {_DIT: ALONE, _VAE: ALONE}
    for network in found:
        members = [0, *(index + 1 for index, role in enumerate(roles) if role.network == network)]
        if len(members) > 1:
            group = dist.new_group(members)  # which all call, whether they are in it or not
            if rank in members:
                found[network] = Ranks(members.index(rank), len(members), group)
    return found


def _run(shared: Shared, index: int, folder: Path, connection: Connection) -> None:
    """A follower's life, in its own process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal: the first one decides
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    role = _roles(shared.devices)[index]
    if role.device.type == "cuda":
        torch.cuda.set_device(role.device)
    size = (shared.height, shared.width, shared.capacity)
    try:
        connection.send_bytes(b"")
        ranks = _join(shared, index + 1, folder)[role.network]
        check_memory(shared.preset, *size, shared.devices, {role.number: role.device})
        with needing_memory(shared.preset), torch.inference_mode():
            follow(connection, _part(shared, role, ranks))
    except BaseException as error:
        with contextlib.suppress(OSError):
            connection.send_bytes(f"failed: {type(error).__name__}: {error}".encode())
        os._exit(1)
    shutil.rmtree(folder, ignore_errors=True)  # the first one may have been killed
    os._exit(0)  # at once: the others may be gone, and what exchanges with them would wait for them


def _part(shared: Shared, role: _Role, ranks: Ranks) -> Denoiser | FrameDecoder:
    """What a follower does its work with."""
    size = (shared.height, shared.width, shared.capacity)
    if role.network == _DIT:
        dit = load_transformer(shared.preset, shared.weights, role.device, ranks)
        return Denoiser(shared.preset, dit, *size)
    vae = load_autoencoder(shared.preset, shared.weights, role.device, ranks)
    return FrameDecoder(shared.preset, vae, *size, Clock())


def _end_with_parent(folder: Path) -> None:
    """However the engine's process ends, and whatever this one waits for."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
