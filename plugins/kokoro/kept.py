"""Spoken clauses on disk: the openings of a character are the same at every start."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import numpy as np

from animacy.core.computed import Computed
from animacy.core.pipeline.voice import Speech
from animacy.core.video.contract import Viseme

CLAUSES = Computed("kokoro-clauses", limit=96)
"""About 60 KB for each second."""

LAYOUT = 2
"""Raise it when the files hold something else than before."""


def find(*key: object) -> list[Speech] | None:
    """The pieces that were kept under this key; None when there are none."""
    path = CLAUSES.find(LAYOUT, *key)
    if path is None:
        return None
    with np.load(path, allow_pickle=False) as stored:
        pcm: bytes = stored["pcm"].tobytes()
        pieces = []
        for size, visemes in json.loads(str(stored["pieces"])):
            pieces.append(Speech(pcm[:size], tuple(Viseme(*viseme) for viseme in visemes)))
            pcm = pcm[size:]
    return pieces


def keep(pieces: Sequence[Speech], *key: object) -> None:
    """Keep the pieces for the next start."""
    listed = [(len(piece.pcm), [(v.shape, v.start, v.end) for v in piece.visemes or ()]) for piece in pieces]
    file = io.BytesIO()
    pcm = np.frombuffer(b"".join(piece.pcm for piece in pieces), np.uint8)
    np.savez(file, pcm=pcm, pieces=np.array(json.dumps(listed)))
    CLAUSES.add(file.getvalue(), LAYOUT, *key)
