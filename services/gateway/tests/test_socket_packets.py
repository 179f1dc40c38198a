"""Socket.IO packets are read whole and in order; what we need of python-socketio and engineio is still there."""

import pytest
import socketio

from gateway.socket_packets import PacketReader, acknowledgement, event_of


def test_the_libraries_let_their_handlers_be_replaced() -> None:
    """`SocketServer` and `UpstreamSockets` put their own handlers before those of python-socketio."""
    server = socketio.AsyncServer(async_mode="asgi")
    assert server.eio.handlers.keys() == {"connect", "message", "disconnect"}
    client = socketio.AsyncClient()
    assert client.eio.handlers.keys() == {"connect", "message", "disconnect"}
    assert server.handlers == {}


def test_an_event_is_decoded_with_its_id() -> None:
    parts = PacketReader().read('27["look",{"a":1}]')
    assert parts is not None
    event = event_of(parts)
    assert event is not None
    assert (event.data, event.id, event.namespace) == (["look", {"a": 1}], 7, None)
    assert acknowledgement(event, ({"ok": True},)) == ['37[{"ok":true}]']


def test_a_binary_event_is_complete_with_its_last_attachment() -> None:
    reader = PacketReader()
    assert reader.read('52-["draw",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]') is None
    assert reader.read(b"one") is None
    parts = reader.read(b"two")
    assert parts is not None
    event = event_of(parts)
    assert event is not None
    assert event.data == ["draw", b"one", b"two"]
    assert reader.read('2["next"]') == ['2["next"]']


def test_other_packets_pass_unchanged() -> None:
    reader = PacketReader()
    assert reader.read('61-0[{"_placeholder":true,"num":0}]') is None
    parts = reader.read(b"one")
    assert parts == ['61-0[{"_placeholder":true,"num":0}]', b"one"]
    assert event_of(parts) is None
    assert event_of(["40"]) is None


@pytest.mark.parametrize("count", [0, 3, 99999999999])
def test_too_many_attachments_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="attachments"):
        PacketReader(max_attachments=2).read(f'5{count}-["draw"]')
