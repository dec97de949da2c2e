"""A wire that breaks: between a ledger and PostgreSQL it cuts connections at the COMMIT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.engine import make_url

COMMITTED: Final = b"COMMIT\x00Z\x00\x00\x00\x05"
"""What the server says once a transaction is in its log: the tag COMMIT, then ReadyForQuery."""

ASKED: Final = b"B\x00\x00\x00\x16\x00commit\x00"
"""How the client asks for it: it binds the statement `commit`."""


class Wire:
    """Passes bytes both ways. `cuts_answers` and `cuts_requests` say how many COMMITs are still lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cuts_answers = 0
        self.cuts_requests = 0
        self.lost = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, until either side or a cut ends it."""
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [
            asyncio.create_task(self._pass(reader, behind_writer, ASKED)),
            asyncio.create_task(self._pass(behind_reader, writer, COMMITTED)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, behind_writer):
            end.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, mark: bytes) -> None:
        while data := await source.read(65_536):
            if mark in data and self._cuts(mark):
                return
            sink.write(data)
            await sink.drain()

    def _cuts(self, mark: bytes) -> bool:
        if mark == COMMITTED and self.cuts_answers:
            self.cuts_answers -= 1
        elif mark == ASKED and self.cuts_requests:
            self.cuts_requests -= 1
        else:
            return False
        self.lost += 1
        return True


@asynccontextmanager
async def a_wire(url: str) -> AsyncIterator[tuple[Wire, str]]:
    """A wire to the server of `url`, and the URL that leads through it."""
    parsed = make_url(url)
    assert parsed.port is not None
    wire = Wire(parsed.port)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield wire, parsed.set(port=port).render_as_string(hide_password=False)
    server.close()
