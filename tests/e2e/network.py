"""Two hosts with a bad network between them: namespaces joined by TUN devices, whose packets wait and get lost here.

The kernels at hand rarely have netem; real packets through a few lines of Python do the same to real TCP and UDP.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
SERVER, CLIENT = "10.77.0.1", "10.77.0.2"
QUEUE = 2000
"""Packets that may be under way; a real router drops what comes beyond."""


def missing() -> str | None:
    """Why such a network cannot be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not Path("/dev/net/tun").exists() or shutil.which("ip") is None:
        return "network namespaces need /dev/net/tun and the `ip` command (Debian: iproute2)"
    return None


@dataclass(frozen=True, slots=True)
class Hosts:
    """Prefixes for commands that are to run on either host. The server's address is SERVER."""

    server: tuple[str, ...]
    client: tuple[str, ...]


@contextlib.contextmanager
def bad_network(delay: float, loss: float, congestion: str = "reno", seed: int = 0) -> Iterator[Hosts]:
    """Each direction takes `delay` seconds and loses a share `loss` of the packets.

    `congestion`: how TCP reacts to loss; Reno gives way most, so what holds with it holds with the others.
    """
    tag = f"{os.getpid() % 10_000}"
    names = (f"animacy-s{tag}", f"animacy-c{tag}")
    devices = [_tun(f"tuns{tag}"), _tun(f"tunc{tag}")]
    stop = threading.Event()
    try:
        for name, device, address in zip(names, (f"tuns{tag}", f"tunc{tag}"), (SERVER, CLIENT), strict=True):
            _ip("netns", "add", name)
            _ip("link", "set", device, "netns", name)
            inside = ("netns", "exec", name, "ip")
            _ip(*inside, "addr", "add", f"{address}/30", "dev", device)
            _ip(*inside, "link", "set", device, "up", "mtu", "1500")
            _ip(*inside, "link", "set", "lo", "up")
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "exec", name, "sh", "-c", f"echo {congestion} > /proc/sys/net/ipv4/tcp_congestion_control")
        carrier = threading.Thread(target=_carry, args=(devices, delay, loss, random.Random(seed), stop), daemon=True)
        carrier.start()
        yield Hosts(*(("ip", "netns", "exec", name) for name in names))
        stop.set()
        carrier.join(timeout=5)
    finally:
        stop.set()
        for device in devices:
            os.close(device)
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _tun(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
    return device


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _carry(devices: list[int], delay: float, loss: float, chance: random.Random, stop: threading.Event) -> None:
    """Move packets between both devices until told to stop."""
    under_way: list[tuple[float, int, int, bytes]] = []
    count = 0
    while not stop.is_set():
        wait = 0.05 if not under_way else max(0.0, min(0.05, under_way[0][0] - time.monotonic()))
        readable, _, _ = select.select(devices, [], [], wait)
        for device in readable:
            other = devices[1 - devices.index(device)]
            with contextlib.suppress(BlockingIOError):
                while packet := os.read(device, 2048):
                    if chance.random() >= loss and len(under_way) < QUEUE:
                        count += 1
                        heapq.heappush(under_way, (time.monotonic() + delay, count, other, packet))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, other, packet = heapq.heappop(under_way)
            with contextlib.suppress(OSError):
                os.write(other, packet)
