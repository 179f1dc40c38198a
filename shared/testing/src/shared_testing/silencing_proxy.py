"""A proxy for tests that silences its open connections to a server, as after a failover."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class SilencingProxy:
    """Forwards connections to a server. A silenced connection stays open, but forwards nothing any more."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.silent: list[asyncio.Event] = []
        self.stays_silent = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Forward until the block ends. Yield the port."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()

    def silence(self, *, new_ones_too: bool = False) -> None:
        """Discard all data on the open connections, in both directions."""
        self.stays_silent = new_ones_too
        for silent in self.silent:
            silent.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent = asyncio.Event()
        self.silent.append(silent)
        if self.stays_silent:
            silent.set()
        back, forth = await asyncio.open_connection(*self.target)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                if not silent.is_set():
                    sink.write(data)
            sink.close()

        with contextlib.suppress(OSError):
            await asyncio.gather(pump(reader, forth), pump(back, writer))
