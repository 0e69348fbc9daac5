"""Spans and metrics for OpenTelemetry. Without an endpoint in the environment nothing is imported and nothing is done.

The environment is the standard one (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME, ...).
What the user and the character say is never sent.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from loguru import logger

from animacy.core.report import MOMENTS, TurnReport, stages_of

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, Meter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
PREFIX = "animacy."
NANOSECONDS = 1_000_000_000
FLUSH_MILLISECONDS = 3_000
EXPORT_SECONDS = 2.0
"""How long an export may take, retries included, unless OTEL_EXPORTER_OTLP_TIMEOUT says: the last one is waited for."""
SECONDS_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
MILLISECONDS_BUCKETS = (2.0, 5.0, 10.0, 20.0, 45.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0, 1000.0, 3000.0)
IN_SECONDS = ("moments.", "stages.", "video.")


def connect() -> Telemetry | None:
    """Telemetry to the endpoint that the environment names, None if it names none or the SDK is not there."""
    named = any(os.environ.get(name) for name in ENDPOINTS)
    if not named or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        return Telemetry()
    except ImportError as error:
        logger.warning(f"no telemetry ({error}): pip install 'animacy[otel]'")
        return None


class Telemetry:
    """Satisfies animacy.core.pipeline.metrics.Sink. Exports in threads of its own, so nothing here blocks but `close`.

    One span a session, one a turn below it, and below that one for each stage of the turn. Raises ImportError without
    the SDK.
    """

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create()
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "animacy"}))
        timeout = None if os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else EXPORT_SECONDS
        # Not the global providers: another library in this process may have its own.
        self._tracing: TracerProvider | None = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
        self._tracer = self._tracing.get_tracer("animacy")
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(timeout=timeout))
        self._metering: MeterProvider | None = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self._meter: Meter = self._metering.get_meter("animacy")
        self._live = self._meter.create_up_down_counter(f"{PREFIX}sessions.live")
        self._histograms: dict[str, Histogram] = {}
        self._counters: dict[str, Counter] = {}
        self._spans: dict[int, Span] = {}
        self._film_began: dict[int, float] = {}

    def measured(self, name: str, value: float) -> None:
        """Add to the histogram of that name."""
        # A histogram takes nothing negative; this one has a twin of absolute values.
        if name == "client.av_offset_ms":
            return
        histogram = self._histograms.get(name)
        if histogram is None:
            seconds = name.startswith(IN_SECONDS)
            histogram = self._histograms[name] = self._meter.create_histogram(
                PREFIX + name,
                unit="s" if seconds else "ms",
                explicit_bucket_boundaries_advisory=SECONDS_BUCKETS if seconds else MILLISECONDS_BUCKETS,
            )
        histogram.record(max(0.0, value))

    def counted(self, name: str, more: int) -> None:
        """Add to the counter of that name."""
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = self._meter.create_counter(PREFIX + name)
        counter.add(more)

    def session_began(self, session: int, kind: str) -> None:
        """Begin its span."""
        self._live.add(1)
        self._spans[session] = self._tracer.start_span("session", attributes={"animacy.transport": kind})

    def first_frame(self, session: int, seconds: float) -> None:
        """Now is where its film's time begins."""
        self._film_began[session] = time.time()
        if span := self._spans.get(session):
            span.set_attribute("animacy.video.ttff", seconds)

    def turn(self, session: int, turn: TurnReport) -> None:
        """A span from the end of the user's speech to the end of the answer, and one for each stage of the turn."""
        from opentelemetry.trace import set_span_in_context

        parent = self._spans.get(session)
        if parent is None:
            return
        zero = self._film_began.get(session, time.time()) + turn.user_speech_end
        moments = {f"animacy.{name}": at for name in MOMENTS if (at := getattr(turn, name)) is not None}
        attributes = {"animacy.turn": turn.index, "animacy.interrupted": turn.interrupted, **moments}
        span = self._tracer.start_span(
            "exchange", set_span_in_context(parent), attributes=attributes, start_time=_nanoseconds(zero)
        )
        inside = set_span_in_context(span)
        last = 0.0
        for stage in stages_of(turn):
            child = self._tracer.start_span(stage.name, inside, start_time=_nanoseconds(zero + stage.begin))
            child.end(_nanoseconds(zero + stage.end))
            last = max(last, stage.end)
        spoken = last if turn.speech_end is None else turn.speech_end - turn.user_speech_end
        span.end(_nanoseconds(zero + max(last, spoken)))

    def session_ended(self, session: int, reason: str) -> None:
        """End its span."""
        self._film_began.pop(session, None)
        span = self._spans.pop(session, None)
        if span is not None:
            self._live.add(-1)
            span.set_attribute("animacy.ended", reason)
            span.end()

    def close(self) -> None:
        """Send the rest and stop the threads; gives up after a few seconds. May be called twice."""
        for session in list(self._spans):
            self.session_ended(session, "closing")
        tracing, self._tracing = self._tracing, None
        if tracing is not None:
            tracing.force_flush(FLUSH_MILLISECONDS)
            tracing.shutdown()
        metering, self._metering = self._metering, None
        if metering is not None:
            metering.shutdown(FLUSH_MILLISECONDS)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * NANOSECONDS)
