"""Spoken clauses on disk: the openings of a character are the same at every start."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from animacy.core.computed import Computed
from animacy.core.video.contract import Viseme

CLAUSES = Computed("kokoro-clauses", limit=96)
"""About 60 KB for each second."""


class Speech(NamedTuple):
    """A piece of speech: mono 16-bit samples at 24 kHz.

    `visemes` are seconds from the first sample of this piece. A clause's first piece carries those of the whole clause,
    its others none.
    """

    pcm: bytes
    visemes: tuple[Viseme, ...] = ()


def find(*key: object) -> list[Speech] | None:
    """The pieces that were kept under this key; None when there are none."""
    path = CLAUSES.find(*key)
    if path is None:
        return None
    with np.load(path, allow_pickle=False) as stored:
        visemes = json.loads(str(stored["visemes"]))
        return [
            Speech(stored[f"pcm{i}"].tobytes(), tuple(Viseme(*viseme) for viseme in each))
            for i, each in enumerate(visemes)
        ]


def keep(pieces: Sequence[Speech], *key: object) -> None:
    """Keep the pieces for the next start."""
    sound = {f"pcm{i}": np.frombuffer(piece.pcm, "<i2") for i, piece in enumerate(pieces)}
    visemes = json.dumps([[(v.shape, v.start, v.end) for v in piece.visemes] for piece in pieces])
    file = io.BytesIO()
    np.savez(file, visemes=np.array(visemes), **sound)
    CLAUSES.add(file.getvalue(), *key)
