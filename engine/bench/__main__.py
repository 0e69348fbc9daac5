"""`python -m animacy.engine.bench`: the benchmark without the rest of Animacy's command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from animacy.engine.bench.command import run
from animacy.engine.config import PRESETS
from animacy.engine.errors import EngineError


def main() -> None:
    """Read the arguments and run; errors that a user can mend are told without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m animacy.engine.bench", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, required=True)
    parser.add_argument("--gpus", type=int, default=1, help="0 runs on the processor, for tiny presets")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the engine's steady run")
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--size", help="WIDTHxHEIGHT; the preset's own if left out")
    parser.add_argument("--fp8", action="store_true", help="matrix products, keys and values in FP8")
    parser.add_argument("--steps", type=int, help="denoising steps; the preset's if left out")
    parser.add_argument("--window", type=int, help="latent frames looked back at; the preset's if left out")
    parser.add_argument("--budget", type=float, default=300.0, help="seconds each for kernels and for diffusers")
    parser.add_argument("--output", type=Path, default=Path("out/bench"))
    parser.add_argument("--baseline", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--kernels", action=argparse.BooleanOptionalAction, default=True)
    options = vars(parser.parse_args())
    size = options.pop("size")
    if size is not None:
        options["width"], options["height"] = map(int, size.split("x"))
    try:
        run(**options, say=lambda line: print(line, flush=True))
    except EngineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
