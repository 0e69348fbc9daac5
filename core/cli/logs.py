"""What reaches the terminal of the libraries' logs."""

from __future__ import annotations

import logging
import os
import sys


def quieten(verbose: bool) -> None:
    """Keep the libraries' logs off the terminal unless they are wanted; our own messages say what went wrong."""
    # Read when the library is first imported, which is after this.
    os.environ.setdefault("PIPECAT_SETUP_FILES", "")
    from loguru import logger

    logger.remove()
    if verbose:
        logger.add(sys.stderr, level="DEBUG")
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR)
