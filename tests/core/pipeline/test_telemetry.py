"""Telemetry as a collector receives it, over OTLP/HTTP."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys

import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from animacy.core.pipeline.metrics import Metrics
from animacy.core.pipeline.telemetry import ENDPOINTS, connect
from animacy.core.report import TurnReport

TURN = TurnReport(
    index=4,
    user="Who painted the Mona Lisa?",
    character="Leonardo did.",
    user_speech_end=4.0,
    speech_end_from="vad",
    final_transcript=0.2,
    turn_decision=0.3,
    first_llm_token=0.4,
    first_tts_audio=0.7,
    first_response_frame=0.9,
    speech_end=7.0,
    interrupted=True,
    barge_in_ms=150.0,
)


class Collector:
    """Keeps what is exported to it."""

    def __init__(self) -> None:
        self.bodies = []
        self.spans = []
        self.metrics = []
        self.resources = []

    async def traces(self, request):
        message = ExportTraceServiceRequest.FromString(await self._body(request))
        for resource in message.resource_spans:
            self.resources.append(resource.resource)
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response()

    async def measurements(self, request):
        message = ExportMetricsServiceRequest.FromString(await self._body(request))
        for resource in message.resource_metrics:
            self.metrics += [metric for scope in resource.scope_metrics for metric in scope.metrics]
        return web.Response()

    async def _body(self, request):
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        self.bodies.append(body)
        return body


@pytest.fixture
async def collector(monkeypatch):
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.traces)
    app.router.add_post("/v1/metrics", collector.measurements)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    yield collector
    await runner.cleanup()


async def converse():
    metrics = Metrics(connect())
    session = metrics.session_started("web")
    metrics.first_frame(0.25, session)
    metrics.turn(TURN, session)
    metrics.client_stats({"shown": 7, "rtt_ms": 3.0, "av_offset_ms": [-12.0]})
    metrics.session_ended(session, "done")
    metrics.session_started("web")  # still going on when the host closes
    await asyncio.to_thread(metrics.close)
    await asyncio.to_thread(metrics.close)


async def test_a_session_is_a_tree_of_spans(collector):
    await converse()
    spans = {span.name: span for span in collector.spans}
    assert set(spans) == {"session", "exchange", "stt", "turn", "llm", "tts", "video"}
    exchange = spans["exchange"]
    parents = {span.span_id: span.name for span in collector.spans}
    assert parents[exchange.parent_span_id] == "session"
    assert {parents[spans[name].parent_span_id] for name in ("stt", "turn", "llm", "tts", "video")} == {"exchange"}

    def since(span, end):
        return round((end - exchange.start_time_unix_nano) / 1e9, 3)

    times = {
        name: (since(span, span.start_time_unix_nano), since(span, span.end_time_unix_nano))
        for name, span in spans.items()
    }
    assert times["stt"] == (0.0, 0.2)
    assert times["turn"] == (0.0, 0.3)
    assert times["llm"] == (0.3, 0.4)
    assert times["tts"] == (0.4, 0.7)
    assert times["video"] == (0.7, 0.9)
    assert times["exchange"] == (0.0, 3.0)
    assert sum(span.name == "session" for span in collector.spans) == 2
    attributes = {item.key: item.value.string_value for item in collector.resources[0].attributes}
    assert attributes["service.name"] == "animacy"


async def test_figures_have_the_names_of_the_json(collector):
    await converse()
    metrics = {metric.name: metric for metric in collector.metrics}
    response = metrics["animacy.moments.first_response_frame"]
    assert response.unit == "s"
    assert response.histogram.data_points[0].sum == pytest.approx(0.9)
    assert metrics["animacy.client.rtt_ms"].unit == "ms"
    assert metrics["animacy.client.av_offset_abs_ms"].histogram.data_points[0].sum == 12
    assert metrics["animacy.client_frames.shown"].sum.data_points[0].as_int == 7
    assert metrics["animacy.sessions.total"].sum.data_points[0].as_int == 2
    assert metrics["animacy.sessions.live"].sum.data_points[0].as_int == 0
    snapshot = Metrics().snapshot().model_dump()
    for name in metrics:
        part = snapshot
        for key in name.removeprefix("animacy.").split("."):
            part = part[key]


async def test_nothing_that_was_said_is_sent(collector):
    await converse()
    sent = b"".join(collector.bodies)
    assert sent
    assert b"Mona" not in sent
    assert b"Leonardo" not in sent


def test_without_an_endpoint_nothing_is_imported(monkeypatch):
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    assert connect() is None
    code = (
        "import sys; before = set(sys.modules)\n"
        "from animacy.core.pipeline.telemetry import connect\n"
        "assert connect() is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


async def test_a_collector_that_is_not_there_stops_nobody(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    async with asyncio.timeout(60):
        await converse()
