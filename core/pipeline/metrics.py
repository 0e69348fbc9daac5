"""What a host knows about its conversations: how fast, how smooth, how many. Bounded, however long it runs."""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from animacy.core.pipeline.samples import Samples, Spread
from animacy.core.report import MOMENTS, STAGES, FrameCounts, TurnReport, stages_of
from animacy.core.video.runner import RunnerStats

SCHEMA_VERSION = 1
MAX_CLIENTS = 256
"""Clients whose totals are remembered to tell what is new in their next ones."""

Milliseconds = Annotated[float, Field(ge=0, le=600_000, allow_inf_nan=False)]
Offset = Annotated[float, Field(ge=-60_000, le=60_000, allow_inf_nan=False)]
Total = Annotated[int, Field(ge=0, le=1 << 48)]


class _Told(BaseModel):
    """What a client says of itself. Nobody vouches for it, so everything has bounds; unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ClientStats(_Told):
    """The data of `stats` (docs/protocol.md). Totals count since the client connected."""

    buffer_ms: Milliseconds | None = None
    av_offset_ms: Annotated[tuple[Offset, ...], Field(max_length=4096)] = ()
    shown: Total = 0
    late: Total = 0
    dropped: Total = 0
    repeated: Total = 0
    longest_gap_ms: Milliseconds | None = None
    rtt_ms: Milliseconds | None = None


class Flushed(_Told):
    """The data of `flushed` (docs/protocol.md)."""

    turn: Total
    silent_ms: Milliseconds
    still_ms: Milliseconds


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SessionCounts(_Part):
    """Conversations. `resumed`: how often a lost connection was taken up again."""

    live: int = 0
    total: int = 0
    refused: int = 0
    resumed: int = 0


class TurnCounts(_Part):
    """Questions that got an answer, and how many of those answers were interrupted."""

    answered: int = 0
    interrupted: int = 0


class ServiceCounts(_Part):
    """How often a service of a recipe's list failed and the next took over, and how often one took its work back."""

    failed: int = 0
    returned: int = 0


class ClientCounts(_Part):
    """Frames as the clients saw them, and reports of theirs that made no sense."""

    shown: int = 0
    late: int = 0
    dropped: int = 0
    repeated: int = 0
    rejected: int = 0


class Snapshot(_Part):
    """Everything so far."""

    schema_version: int = SCHEMA_VERSION
    uptime: Annotated[float, Field(description="Seconds since the host started.")]
    sessions: SessionCounts
    turns: TurnCounts
    services: Annotated[dict[str, ServiceCounts], Field(description="By role.")]
    moments: Annotated[dict[str, Spread], Field(description="Seconds after the end of the user's speech.")]
    stages: Annotated[dict[str, Spread], Field(description="Seconds that each stage of an answer took.")]
    video: Annotated[
        dict[str, Spread],
        Field(description="Seconds: from connection (ttff) and from the voice's first sound to the first frame of it."),
    ]
    barge_in: Annotated[
        dict[str, Spread],
        Field(description="Milliseconds: the server from voice to cut, clients from the cut to silence and stillness."),
    ]
    client: Annotated[dict[str, Spread], Field(description="Milliseconds, as clients measure them.")]
    client_frames: ClientCounts
    frames: FrameCounts


BARGE_IN = ("server_ms", "silent_ms", "still_ms")
VIDEO = ("ttff", "from_voice")
CLIENT = ("av_offset_ms", "av_offset_abs_ms", "buffer_ms", "rtt_ms", "longest_gap_ms")
CLIENT_TOTALS = ("shown", "late", "dropped", "repeated")
FRAME_TOTALS = ("sent", "late", "repeated", "dropped", "stalls")


class Sink(Protocol):
    """Where figures and turns go besides (animacy.core.pipeline.telemetry)."""

    def measured(self, name: str, value: float) -> None:
        """A value of the figure `name`, which is its path in a Snapshot."""
        ...

    def counted(self, name: str, more: int) -> None:
        """`more` of the counter `name`, which is its path in a Snapshot."""
        ...

    def session_began(self, session: int, kind: str) -> None:
        """A conversation began."""
        ...

    def first_frame(self, session: int, seconds: float) -> None:
        """Its film began, `seconds` after the connection."""
        ...

    def turn(self, session: int, turn: TurnReport) -> None:
        """It had a turn."""
        ...

    def session_ended(self, session: int, reason: str) -> None:
        """It is over."""
        ...

    def close(self) -> None:
        """Send what was not sent yet. Blocks for a few seconds at most."""
        ...


class Metrics:
    """One for each host. Belongs to one event loop; nothing here blocks or raises.

    A session is known by the number that `session_started` gave it; with one session at a time it may be left out.
    """

    def __init__(self, sink: Sink | None = None) -> None:
        self._sink = sink
        self._began = time.monotonic()
        self._figures: defaultdict[str, Samples] = defaultdict(Samples)
        self._sessions, self._turns, self._client = SessionCounts(), TurnCounts(), ClientCounts()
        self._services: defaultdict[str, ServiceCounts] = defaultdict(ServiceCounts)
        self._frames = FrameCounts()
        self._running: dict[int, RunnerStats | None] = {}
        self._totals: OrderedDict[str, ClientStats] = OrderedDict()

    def session_started(self, kind: str = "") -> int:
        """A conversation began; `kind` names its transport. Returns its number."""
        self._sessions.total += 1
        self._count("sessions.total")
        number = self._sessions.total
        self._running[number] = None
        if self._sink is not None:
            self._sink.session_began(number, kind)
        return number

    def refused(self, reason: str = "") -> None:
        """Somebody came and was not taken in."""
        self._sessions.refused += 1
        self._count("sessions.refused")

    def resumed(self) -> None:
        """A lost connection was taken up again."""
        self._sessions.resumed += 1
        self._count("sessions.resumed")

    def session_ended(self, session: int | None = None, reason: str = "") -> None:
        """A conversation is over. May be called twice."""
        number = self._number(session)
        if number not in self._running:
            return
        stats = self._running.pop(number)
        if stats is not None:
            _add(self._frames, stats)
            for name in FRAME_TOTALS:
                self._count(f"frames.{name}", getattr(stats, name))
        if self._sink is not None:
            self._sink.session_ended(number, reason)

    def frames(self, stats: RunnerStats, session: int | None = None) -> None:
        """Watch the counters of a session's runner; they are read whenever a snapshot is taken."""
        number = self._number(session)
        if number in self._running:
            self._running[number] = stats

    def first_frame(self, seconds: float, session: int | None = None) -> None:
        """The first frame left, `seconds` after the user connected."""
        self._measure("video.ttff", seconds)
        if self._sink is not None:
            self._sink.first_frame(self._number(session), seconds)

    def turn(self, turn: TurnReport, session: int | None = None) -> None:
        """A question was answered, or its answer interrupted."""
        self._turns.answered += 1
        self._count("turns.answered")
        if turn.interrupted:
            self._turns.interrupted += 1
            self._count("turns.interrupted")
        for moment in MOMENTS:
            self._measure(f"moments.{moment}", getattr(turn, moment))
        for stage in stages_of(turn):
            self._measure(f"stages.{stage.name}", stage.end - stage.begin)
        if turn.first_response_frame is not None and turn.first_tts_audio is not None:
            self._measure("video.from_voice", turn.first_response_frame - turn.first_tts_audio)
        self._measure("barge_in.server_ms", turn.barge_in_ms)
        if self._sink is not None:
            self._sink.turn(self._number(session), turn)

    def switched(self, role: str, *, failed: bool) -> None:
        """Another service does a role's work: one failed, or one is well again."""
        counts, name = self._services[role], "failed" if failed else "returned"
        setattr(counts, name, getattr(counts, name) + 1)
        self._count(f"services.{role}.{name}")

    def client_stats(self, data: object, client: str = "") -> None:
        """A client's `stats`. `client` tells clients apart whose totals must not be mixed."""
        try:
            stats = ClientStats.model_validate(data)
        except ValidationError:
            self._reject()
            return
        for offset in stats.av_offset_ms:
            self._measure("client.av_offset_ms", offset)
            self._measure("client.av_offset_abs_ms", abs(offset))
        for name in ("buffer_ms", "rtt_ms", "longest_gap_ms"):
            self._measure(f"client.{name}", getattr(stats, name))
        before = self._totals.pop(client, ClientStats())
        for name in CLIENT_TOTALS:
            now, then = getattr(stats, name), getattr(before, name)
            # Less than before: the page was loaded anew and counts from zero.
            more = now - then if now >= then else now
            setattr(self._client, name, getattr(self._client, name) + more)
            self._count(f"client_frames.{name}", more)
        self._totals[client] = stats.model_copy(update={"av_offset_ms": ()})
        while len(self._totals) > MAX_CLIENTS:
            self._totals.popitem(last=False)

    def flushed(self, data: object) -> None:
        """A client's `flushed`: how long a cut took there."""
        try:
            flushed = Flushed.model_validate(data)
        except ValidationError:
            self._reject()
            return
        self._measure("barge_in.silent_ms", flushed.silent_ms)
        self._measure("barge_in.still_ms", flushed.still_ms)

    def snapshot(self) -> Snapshot:
        """Everything so far."""
        frames = self._frames.model_copy()
        for stats in self._running.values():
            if stats is not None:
                _add(frames, stats)
        return Snapshot(
            uptime=round(time.monotonic() - self._began, 1),
            sessions=self._sessions.model_copy(update={"live": len(self._running)}),
            turns=self._turns.model_copy(),
            services={role: counts.model_copy() for role, counts in self._services.items()},
            moments=self._spreads("moments", MOMENTS),
            stages=self._spreads("stages", STAGES),
            video=self._spreads("video", VIDEO),
            barge_in=self._spreads("barge_in", BARGE_IN),
            client=self._spreads("client", CLIENT),
            client_frames=self._client.model_copy(),
            frames=frames,
        )

    def close(self) -> None:
        """Send what telemetry has not sent yet. Blocks: call it off the event loop. May be called twice."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()

    def _number(self, session: int | None) -> int:
        return session if session is not None else next(reversed(self._running), 0)

    def _measure(self, name: str, value: float | None) -> None:
        if value is None:
            return
        self._figures[name].add(value)
        if self._sink is not None:
            self._sink.measured(name, value)

    def _count(self, name: str, more: int = 1) -> None:
        if self._sink is not None and more:
            self._sink.counted(name, more)

    def _reject(self) -> None:
        self._client.rejected += 1
        self._count("client_frames.rejected")

    def _spreads(self, group: str, names: tuple[str, ...]) -> dict[str, Spread]:
        # No entry is made for what was never measured.
        empty = Samples()
        return {name: self._figures.get(f"{group}.{name}", empty).spread() for name in names}


def _add(counts: FrameCounts, stats: RunnerStats) -> None:
    for name in FRAME_TOTALS:
        setattr(counts, name, getattr(counts, name) + getattr(stats, name))
    counts.worst_delay_ms = max(counts.worst_delay_ms, round(1000 * stats.worst_delay, 1))


def metrics_schema() -> dict[str, Any]:
    """The JSON Schema of snapshots."""
    return Snapshot.model_json_schema()
