"""The observability of a process: JSON logs, Prometheus metrics, OpenTelemetry traces."""

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Protocol

import structlog
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import Counter, Gauge, Histogram

HANDLED = Counter("multishot_messages_handled_total", "Messages by how they ended", ["service", "event", "outcome"])
HANDLING_SECONDS = Histogram(
    "multishot_handling_seconds",
    "How long handlers take",
    ["service", "event"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
OUTBOX_ROWS = Gauge("multishot_outbox_rows", "Events that are due and not sent yet", ["service"])
OUTBOX_AGE_SECONDS = Gauge("multishot_outbox_age_seconds", "How long the oldest of them has been due", ["service"])
BACKGROUND_RESTARTS = Counter(
    "multishot_background_restarts_total", "Background tasks that ended unexpectedly", ["service", "task"]
)
RETENTION_REMOVED = Counter("multishot_retention_removed_total", "What was removed for its age", ["service", "what"])
RETENTION_ERRORS = Counter("multishot_retention_errors_total", "Retention passes that failed", ["service", "what"])

tracer = trace.get_tracer("multishot")


class TelemetrySettings(Protocol):
    """The settings of a service that logging and tracing need."""

    @property
    def log_level(self) -> str:
        """The lowest level that is logged."""
        ...

    @property
    def log_format(self) -> str:
        """Either `json` or `text`."""
        ...

    @property
    def otel_exporter_otlp_endpoint(self) -> str | None:
        """The collector of traces, if there is one."""
        ...


def set_up(service: str, settings: TelemetrySettings) -> None:
    """Set up logging and tracing, once per process."""
    _set_up_logging(service, settings)
    if settings.otel_exporter_otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider = TracerProvider(resource=Resource.create({"service.name": service}))
        endpoint = settings.otel_exporter_otlp_endpoint.rstrip("/") + "/v1/traces"
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        trace.set_tracer_provider(provider)


def _set_up_logging(service: str, settings: TelemetrySettings) -> None:
    last = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*before, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        # A cached logger would outlive this configuration, and write to a stream that may be closed.
        cache_logger_on_first_use=False,
    )
    # Libraries log in the same format.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=[_without_meta, last])
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    structlog.contextvars.bind_contextvars(service=service)


def _without_meta(_logger: object, _method: str, event_dict: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(None, "", event_dict)


def trace_headers() -> dict[str, str]:
    """Return the W3C trace headers of the current span, to send with a message."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


@contextlib.contextmanager
def following(headers: Mapping[str, str], name: str, kind: trace.SpanKind) -> Iterator[trace.Span]:
    """Start a span as a child of the sender's span, which these headers name."""
    token = context.attach(propagate.extract(headers))
    try:
        with tracer.start_as_current_span(name, kind=kind) as span:
            yield span
    finally:
        context.detach(token)
