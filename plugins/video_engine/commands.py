"""`animacy engine`: run an engine for others, ask how one is, and see beforehand whether one fits."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from animacy.core.errors import InputError
from animacy.engine.address import Address
from animacy.engine.config import PRESETS, preset
from animacy.engine.errors import needing_torch
from animacy.engine.serve import EngineOptions, serve

engine_app = typer.Typer(help="About the GPU video engine.", no_args_is_help=True)
bench_app = typer.Typer(help="Measure, and write a report.", no_args_is_help=True)

PresetName = Annotated[str, typer.Option("--preset", help=f"One of {', '.join(PRESETS)}.")]
Size = Annotated[Optional[str], typer.Option(help="WIDTHxHEIGHT; the preset's when left out.")]  # noqa: UP045 - typer reads it at run time
Sessions = Annotated[int, typer.Option(help="Characters at a time.", min=1)]
FP8 = Annotated[bool, typer.Option("--fp8", help="Matrix products in FP8: faster, a little less precise.")]
Steps = Annotated[Optional[int], typer.Option(help="Denoising steps; the preset's when left out.", min=1)]  # noqa: UP045 - typer reads it at run time
Window = Annotated[Optional[int], typer.Option(help="Latent frames looked back at; the preset's when left out.", min=1)]  # noqa: UP045 - typer reads it at run time
Memory = Annotated[Optional[int], typer.Option(help="Latent frames remembered coarsely beyond those.", min=0)]  # noqa: UP045 - typer reads it at run time
Where = Annotated[str, typer.Option(help="Path of a Unix socket, or 127.0.0.1:PORT.")]


@engine_app.command("serve")
def serve_engine(
    preset: PresetName,
    address: Where = "animacy-engine.sock",
    weights: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time
        typer.Option(help="Folder with `transformer` and `vae`; random ones when left out."),
    ] = None,
    device: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it at run time
        typer.Option(help="Of all, or once for each GPU. Default: a GPU if there is one."),
    ] = None,
    gpus: Annotated[Optional[int], typer.Option(help="So many GPUs, the first ones.", min=1)] = None,  # noqa: UP045 - typer reads it at run time
    size: Size = None,
    sessions: Sessions = 1,
    fp8: FP8 = False,
    steps: Steps = None,
    window: Window = None,
    memory: Memory = None,
) -> None:
    """Load an engine and serve characters until interrupted; recipes reach it by `video.address`."""
    if gpus is not None and device:
        raise InputError("both --gpus and --device were given", "Give one of them.")
    options = EngineOptions(
        preset=preset,
        weights=None if weights is None else str(weights),
        devices=tuple(device or (f"cuda:{gpu}" for gpu in range(gpus or 0))) or ("auto",),
        size=_size(size),
        capacity=sessions,
        fp8=fp8,
        steps=steps,
        window=window,
        memory=memory,
    )
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_serve(options, Address.parse(address)))


@engine_app.command("health")
def print_health(address: Where = "animacy-engine.sock") -> None:
    """Ask a running engine how it is."""
    from rich.console import Console
    from rich.table import Table

    from animacy.engine.client import EngineClient
    from animacy.engine.protocol import Health

    async def ask() -> Health:
        client = await EngineClient.connect(Address.parse(address))
        try:
            return await client.health()
        finally:
            await client.close()

    health = asyncio.run(ask())
    table = Table(show_header=False, box=None)
    table.add_row("preset", health.preset)
    table.add_row("sessions", f"{health.sessions} of {health.capacity}")
    table.add_row("iteration", f"p50 {health.iteration_ms_p50} ms, p99 {health.iteration_ms_p99} ms")
    for device, memory in health.memory.items():
        gib = {name: f"{size / 2**30:.1f}" for name, size in memory.items()}
        table.add_row(device, f"{gib['allocated']} GiB in use, at most {gib['peak']}, of {gib['total']}")
    Console().print(table)


@engine_app.command("plan")
def print_plan(
    preset_name: PresetName,
    size: Size = None,
    sessions: Sessions = 1,
    dtype: Annotated[str, typer.Option(help="What the networks run in: bf16, fp16 or fp32.")] = "bf16",
    gpus: Annotated[int, typer.Option(help="Over how many it is spread.", min=1)] = 1,
    fp8: FP8 = False,
    steps: Steps = None,
    window: Window = None,
    memory: Memory = None,
) -> None:
    """Print what a preset takes of a GPU's memory, before anything is loaded."""
    with needing_torch():
        from animacy.engine.plan import plan

    width, height = _size(size) or (None, None)
    tuned = preset(preset_name).tuned(fp8, steps, window, memory)
    for line in plan(tuned, height, width, sessions, dtype, gpus).lines:
        typer.echo(line)


@bench_app.callback()
def bench() -> None:
    """Measure, and write a report."""


@bench_app.command("engine")
def bench_engine(
    preset: PresetName,
    gpus: Annotated[int, typer.Option(help="0 runs on the processor, for tiny presets.", min=0)] = 1,
    seconds: Annotated[float, typer.Option(help="Of the engine's steady run.")] = 30.0,
    sessions: Sessions = 1,
    size: Size = None,
    budget: Annotated[float, typer.Option(help="Seconds each for kernels and for diffusers.")] = 300.0,
    output: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("out/bench"),
    baseline: Annotated[bool, typer.Option(help="Measure diffusers' own modules beside it.")] = True,
    kernels: Annotated[bool, typer.Option(help="Measure each kernel beside its reference.")] = True,
    fp8: FP8 = False,
    steps: Steps = None,
    window: Window = None,
    memory: Memory = None,
) -> None:
    """Measure the video engine, its kernels and diffusers' modules in one run."""
    with needing_torch():
        from animacy.engine.bench.command import run

    width, height = _size(size) or (None, None)
    run(
        preset,
        gpus,
        seconds,
        sessions,
        output,
        baseline,
        kernels,
        typer.echo,
        height,
        width,
        budget,
        fp8,
        steps,
        window,
        memory,
    )


async def _serve(options: EngineOptions, address: Address) -> None:
    """Serve with a bar while it loads. SIGTERM ends it as Ctrl-C does."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    serving = asyncio.current_task()
    assert serving is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    if options.weights is None:
        console.print("No weights were given: they are random, and the video will be noise.", style="bold red")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)
        bound: list[Address] = []

        def progress(text: str, done: float) -> None:
            bar.update(task, description=text, completed=done)
            if done >= 1.0:
                bar.stop()
                console.print(f"serving {options.preset} at {bound[0]}, {options.capacity} at a time", markup=False)

        await serve(options, address, bound.append, progress)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise InputError(f"--size is {text!r}", "Write it as WIDTHxHEIGHT, as in 832x480.")
    return int(width), int(height)
