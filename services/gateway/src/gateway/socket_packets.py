"""Reads Socket.IO packets off an Engine.IO connection, before python-socketio dispatches them.

python-socketio tells a handler neither whether an acknowledgement is expected, nor lets it limit events before they are
dispatched. Engine.IO's `on` replaces the handler of messages; `Packet` decodes them. Both are public.
"""

from typing import Any

from socketio import packet

Part = str | bytes

WITH_ATTACHMENTS = (str(packet.BINARY_EVENT), str(packet.BINARY_ACK))


class PacketReader:
    """Collects the parts of a connection's packets: a text, and for a binary packet its attachments."""

    def __init__(self, max_attachments: int | None = None) -> None:
        self.max_attachments = max_attachments
        self.parts: list[Part] = []
        self.missing = 0

    def read(self, part: Part) -> list[Part] | None:
        """Add a part; return all parts of the packet when it is complete.

        Raises:
            ValueError: the packet is malformed, or has too many attachments.
        """
        if self.missing:
            self.parts.append(part)
            self.missing -= 1
        else:
            self.parts = [part]
            self.missing = self._attachments(part)
        return None if self.missing else self.parts

    def _attachments(self, part: Part) -> int:
        if not isinstance(part, str) or part[:1] not in WITH_ATTACHMENTS:
            return 0
        count: int = packet.Packet(encoded_packet=part).attachment_count
        if count == 0 or (self.max_attachments is not None and count > self.max_attachments):
            raise ValueError(f"a binary packet with {count} attachments")
        return count


def event_of(parts: list[Part]) -> packet.Packet | None:
    """Return the event that these parts are; None for packets of other types. Raises `ValueError`."""
    first, *attachments = parts
    if not isinstance(first, str) or first[:1] not in (str(packet.EVENT), str(packet.BINARY_EVENT)):
        return None
    event = packet.Packet(encoded_packet=first)
    for attachment in attachments:
        event.add_attachment(attachment)
    return event


def acknowledgement(event: packet.Packet, answer: tuple[Any, ...]) -> list[Part]:
    """Return the parts of the packet that acknowledges an event."""
    encoded = packet.Packet(packet.ACK, namespace=event.namespace, id=event.id, data=list(answer)).encode()
    return encoded if isinstance(encoded, list) else [encoded]
