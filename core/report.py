"""The report of a session: what was said, when each stage was done, and what became of the frames."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Seconds = Annotated[
    float | None, Field(description="Seconds after the end of the user's speech; null if it never came.")
]


class Part(BaseModel):
    """A part of the report."""

    model_config = ConfigDict(extra="forbid")


class ToolReport(Part):
    """One use of a tool. `result` is what the model was told, `seconds` how long it took."""

    name: str
    arguments: dict[str, Any]
    status: Annotated[str, Field(description="done, failed, refused, timed out, cancelled, or asks for a yes.")]
    result: str
    seconds: float


class TurnReport(Part):
    """One question and its answer. All times but `user_speech_end` count from the end of the user's speech."""

    index: int
    user: Annotated[str, Field(description="Final transcript of what the user said.")] = ""
    character: Annotated[str, Field(description="Text given to the voice.")] = ""
    user_speech_end: Annotated[float, Field(description="Seconds from the start of the film.")]
    speech_end_from: Annotated[
        Literal["signal", "vad", "text"],
        Field(description="Measured on the recording, told by the voice detector, or when the text came."),
    ]
    turn_decision: Seconds = None
    final_transcript: Seconds = None
    first_llm_token: Seconds = None
    first_tts_audio: Seconds = None
    first_response_frame: Seconds = None
    substance: Annotated[
        float | None, Field(description="First word after the opening, where an answer begins with one.")
    ] = None
    speech_start: Annotated[
        float | None, Field(description="First frame that carries the answer, seconds in the film.")
    ] = None
    speech_end: Annotated[
        float | None, Field(description="Last frame that carries the answer, seconds in the film.")
    ] = None
    interrupted: bool = False
    barge_in_ms: Annotated[
        float | None, Field(description="From the voice of who interrupted to the cut; the client's part comes on top.")
    ] = None
    sources: Annotated[list[str], Field(description="Documents that the answer was given from.")] = []
    tools: list[ToolReport] = []


MOMENTS = (
    "turn_decision",
    "final_transcript",
    "first_llm_token",
    "first_tts_audio",
    "first_response_frame",
    "substance",
)
"""The moments of a turn, as TurnReport names them."""

STAGES = ("stt", "turn", "llm", "tts", "video")


class Stage(NamedTuple):
    """A part of the way to an answer: its name (one of STAGES), begin and end in seconds after the user's speech."""

    name: str
    begin: float
    end: float


def stages_of(turn: TurnReport) -> list[Stage]:
    """The stages that a turn came through. Hearing and deciding go side by side, the others one after the other.

    The language model counts from when its answer may be heard, for it may think ahead.
    """
    decided = max(turn.turn_decision or 0.0, turn.final_transcript or 0.0)
    ends = {
        "stt": (0.0, turn.final_transcript),
        "turn": (0.0, turn.turn_decision),
        "llm": (decided, turn.first_llm_token),
        "tts": (turn.first_llm_token, turn.first_tts_audio),
        "video": (turn.first_tts_audio, turn.first_response_frame),
    }
    return [
        Stage(name, min(begin, end), end)
        for name, (begin, end) in ends.items()
        if begin is not None and end is not None
    ]


class FrameCounts(Part):
    """What became of the frames. `late`: left over one slot after they were due."""

    sent: int = 0
    late: int = 0
    repeated: int = 0
    dropped: int = 0
    stalls: int = 0
    worst_delay_ms: float = 0.0


class FilmReport(Part):
    """The film as written, measured by reading it back."""

    path: str
    width: int
    height: int
    fps: float
    frames: int
    seconds: float
    longest_gap_ms: Annotated[float, Field(description="Longest time between two frames.")]
    audio_video_offset_ms: Annotated[
        float | None,
        Field(
            description="Audio after video is positive; from the muxed sound against the sound of each frame's slot."
        ),
    ]


class ModelReport(Part):
    """A plugin that took part, with its model."""

    role: str
    plugin: str
    version: str
    model: str | None = None
    sha256: str | None = None


class SwitchReport(Part):
    """Another plugin of a recipe's list took over a role."""

    at: Annotated[float, Field(description="Seconds from the start of the film.")]
    role: str
    left: Annotated[str, Field(description="The plugin that did the work.")]
    entered: Annotated[str, Field(description="The one that does it from then on.")]
    why: Annotated[str, Field(description="What the first did wrong; empty when one that was ill is back.")]


class Report(Part):
    """Everything about one session."""

    schema_version: int = SCHEMA_VERSION
    recipe: str
    character: str
    started: Annotated[str, Field(description="ISO 8601, UTC.")]
    seconds: Annotated[float, Field(description="Length of the session.")]
    ended: Annotated[
        Literal["done", "interrupted", "no speech", "no answer", "time limit"], Field(description="Why it ended.")
    ]
    start_up: Annotated[dict[str, float], Field(description="Seconds each part took to load, before the session.")]
    turns: list[TurnReport]
    switches: list[SwitchReport] = []
    median_response: Annotated[
        float | None, Field(description="Median seconds from end of user speech to the first frame of the answer.")
    ] = None
    frames: FrameCounts
    film: FilmReport | None = None
    models: list[ModelReport]
    machine: dict[str, str]

    def with_medians(self) -> Report:
        """A copy with the summary figures filled in."""
        times = [turn.first_response_frame for turn in self.turns if turn.first_response_frame is not None]
        return self.model_copy(update={"median_response": round(median(times), 3) if times else None})

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def report_schema() -> dict[str, Any]:
    """The JSON Schema of reports."""
    schema = Report.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Animacy session report"
    return schema


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as it is kept in files."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
