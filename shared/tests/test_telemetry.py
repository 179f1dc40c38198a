"""One trace follows a video: through the outbox, the broker and the next handler."""

import json
import logging
from typing import Any
from uuid import UUID

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from pydantic import SecretStr

from shared import telemetry
from shared.contracts.events import VideoRequested
from shared.messaging.event_router import Delivery
from shared.messaging.message_processor import Service, fails_video, process
from shared.persistence.database import Database
from shared.persistence.outbox import OutboxMessage, Relay
from shared.persistence.unit_of_work import transaction
from shared.settings import ServiceSettings

EVENT = VideoRequested(video_id=UUID(int=5), prompt="a fox")


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


async def test_a_trace_survives_the_outbox(sqlite: Database, hearing: Any, spans: InMemorySpanExporter) -> None:
    sent: list[OutboxMessage] = []

    async def send(outbox_message: OutboxMessage) -> None:
        with telemetry.following(outbox_message.headers, "send", SpanKind.PRODUCER):
            sent.append(
                OutboxMessage(
                    outbox_message.message_id,
                    outbox_message.name,
                    outbox_message.ordering_key,
                    telemetry.trace_headers(),
                    outbox_message.body,
                )
            )

    with telemetry.tracer.start_as_current_span("the request"):
        async with transaction(sqlite) as work:
            await work.emit(EVENT)
    await Relay(sqlite, send).send_due()

    hearer = hearing(sqlite)
    service = Service(hearer.router(), hearer, sqlite, fails_video("composer"))
    [outbox_message], [subscription] = sent, service.router.subscriptions
    await process(service, subscription, Delivery("hearer", "m", outbox_message.headers), outbox_message.body.encode())

    finished = {span.name: span.context.trace_id for span in spans.get_finished_spans() if span.context}
    assert len(finished) == 3
    assert len(set(finished.values())) == 1


async def test_log_lines_are_json_and_name_video_and_event(
    sqlite: Database, hearing: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    telemetry.set_up("hearer", ServiceSettings(database_url=SecretStr("sqlite://")))
    try:
        hearer = hearing(sqlite, [ValueError("boom")])
        service = Service(hearer.router(), hearer, sqlite, fails_video("composer"))
        [subscription] = service.router.subscriptions
        await process(service, subscription, Delivery("hearer.x", "m-7"), EVENT.model_dump_json().encode())
    finally:
        structlog.reset_defaults()
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert line["event"] == "message.retried"
    assert (line["video_id"], line["event_id"], line["service"]) == (str(EVENT.video_id), "m-7", "hearer")
    assert "boom" in line["reason"]


def test_logs_outside_a_terminal_have_no_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    telemetry.set_up("hearer", ServiceSettings(database_url=SecretStr("sqlite://"), log_format="text"))
    try:
        structlog.get_logger().info("scene.rendered", seconds=41.2)
        logging.getLogger("library").error("it broke")
    finally:
        structlog.reset_defaults()
    written = capsys.readouterr().err
    assert "scene.rendered" in written
    assert "it broke" in written
    assert "\x1b" not in written
