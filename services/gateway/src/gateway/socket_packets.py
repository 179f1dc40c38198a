"""Reads the packets of Socket.IO clients, whose events must not be mistaken for the server's own."""

from socketio import packet

RESERVED_EVENTS = frozenset({"connect", "disconnect", "connect_error", "*"})
"""Names that python-socketio dispatches to the server's own handlers, whoever sends them."""

UNKNOWN_EVENT = "unknown event"


class ClientPacket(packet.Packet):  # type: ignore[misc]  # python-socketio ships no types
    """Decode a packet; an event that is malformed or has a reserved name becomes `UNKNOWN_EVENT`."""

    data: object

    def decode(self, encoded_packet: str) -> int:
        """Decode the text of a packet. Returns how many binary attachments follow."""
        attachments = super().decode(encoded_packet)
        if self.packet_type in (packet.EVENT, packet.BINARY_EVENT) and not _is_event(self.data):
            self.data = [UNKNOWN_EVENT]
        return int(attachments)


def _is_event(data: object) -> bool:
    return isinstance(data, list) and bool(data) and isinstance(data[0], str) and data[0] not in RESERVED_EVENTS
