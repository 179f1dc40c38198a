"""Writes the AsyncAPI 3 document of all events: `python -m embedded.asyncapi [--check] FILE`."""

import json
import sys
from pathlib import Path
from typing import Any

from faststream.rabbit import RabbitBroker
from faststream.specification import AsyncAPI

import composer.handlers
import gateway.handlers
import scene_render.handlers
import storyboard.handlers
from shared.contracts.events import EVENTS as CONTRACTS
from shared.messaging.topology import EVENTS

CONSUMED_BY = {
    router.service: {subscription.event.name for subscription in router.subscriptions}
    for router in (
        storyboard.handlers.router,
        scene_render.handlers.router,
        composer.handlers.router,
        gateway.handlers.router,
    )
}


def document() -> dict[str, Any]:
    """Return the document: each event with its exchange, routing key, payload and consumers."""
    broker = RabbitBroker("amqp://localhost:5672/")
    for event in CONTRACTS:
        consumers = ", ".join(service for service, names in CONSUMED_BY.items() if event.name in names)
        description = f"{(event.__doc__ or '').strip()} Consumed by: {consumers}."
        about: dict[str, Any] = {"schema": event, "title": event.name, "description": description}
        broker.publisher(exchange=EVENTS, routing_key=event.name, **about)
    written = AsyncAPI(
        broker,
        title="Multishot",
        version="1",
        schema_version="3.0.0",
        description=(
            "The life of a video, in events. Publish `video.requested` on the topic exchange `video` with the "
            "properties `message_id` (unique), `type` (the routing key), `correlation_id` (the videoId) and "
            "`content_type` application/json, and the request as body."
        ),
    )
    return json.loads(written.to_specification().to_json())  # type: ignore[no-any-return]


def main() -> None:
    """Write the document, or with `--check` fail when the file is stale."""
    path = Path(sys.argv[-1])
    text = json.dumps(document(), indent=2, sort_keys=True) + "\n"
    if "--check" in sys.argv:
        if not path.exists() or path.read_text() != text:
            sys.exit(f"{path} is stale: run `make asyncapi`.")
        return
    path.write_text(text)


if __name__ == "__main__":
    main()
