"""What a renderer was told, and when: a score that can be played again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

Kind = Literal["speech", "end", "interrupt", "state"]


@dataclass(frozen=True, slots=True)
class Event:
    """One call of the renderer contract. `at`: seconds since the first chunk. `samples`: of speech, in order."""

    at: float
    kind: Kind
    turn: int = 0
    samples: int = 0
    state: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A recorded conversation: `voice` is all speech, one piece after the other, mono 16-bit at `rate` Hz."""

    rate: int
    seconds: float
    events: tuple[Event, ...]
    voice: NDArray[np.int16]

    def save(self, path: Path) -> None:
        """Write the events as JSON, and the voice beside them as FLAC."""
        events = [{key: value for key, value in asdict(event).items() if value} for event in self.events]
        path.write_text(
            json.dumps({"rate": self.rate, "seconds": round(self.seconds, 3), "events": events}, indent=1) + "\n"
        )
        soundfile.write(path.with_suffix(".flac"), self.voice, self.rate)

    @classmethod
    def load(cls, path: Path) -> Score:
        """Read what `save` wrote."""
        told = json.loads(path.read_text())
        voice, rate = soundfile.read(path.with_suffix(".flac"), dtype="int16")
        if rate != told["rate"]:
            raise ValueError(f"{path}: the voice has {rate} Hz, the events say {told['rate']}")
        events = tuple(Event(**{"at": 0.0, **event}) for event in told["events"])
        return cls(rate, told["seconds"], events, voice)
