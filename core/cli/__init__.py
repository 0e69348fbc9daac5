"""The `animacy` command line. Each command lives in a module of its own and imports what it needs when it runs."""

from __future__ import annotations

import os
import sys

from animacy.core.cli.app import app, plugins
from animacy.core.errors import AnimacyError

INTERRUPTED = 130


def main() -> None:
    """Run the command line: one clear message and an exit code for whatever a user can mend."""
    try:
        plugins().add_commands(app)
        app(standalone_mode=True)
    except AnimacyError as error:
        print(f"error: {error}", file=sys.stderr)
        _leave(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        _leave(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(1)


def _leave(code: int) -> None:
    """End now: a model that is still loading in a thread must not keep an aborted command alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


__all__ = ["app", "main"]
