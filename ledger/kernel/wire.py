"""A connection that pipelines: many statements and COPYs sent at once, answered in one round trip.

asyncpg opens it (addresses, TLS, passwords) and steps aside; from then on the bytes are ours,
by the PostgreSQL protocol 3.0 (extended query, binary formats, COPY IN). What a lane needs of a
driver is little: prepared statements, parameters that are packed already, rows of fixed width.
`docs/decisions/0016` says why no library does it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

import asyncpg

_HEADER: Final = Struct(">ci")
_LENGTH: Final = Struct(">i")
_COUNT: Final = Struct(">h")

_BINARY: Final = b"\0\1\0\1"
"""One format code for all of them: binary."""

_EXECUTE: Final = b"E\0\0\0\x09\0\0\0\0\0"
_COPY_DONE: Final = b"c\0\0\0\4"
_SYNC: Final = b"S\0\0\0\4"
_TERMINATE: Final = b"X\0\0\0\4"

_ROW, _COMPLETE, _ERROR, _READY = b"DCEZ"

_WATCH: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}
"""When a server that vanished without a word is given up: seconds and a count, the last in milliseconds."""

Row = tuple[Any, ...]


class WireLost(ConnectionError):
    """The connection broke: what was under way may or may not have been committed."""


class ServerRefused(Exception):
    """PostgreSQL said no to a statement; the rest of its flight was not run. `code` is the SQLSTATE."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.code = fields.get("C", "")
        self.constraint = fields.get("n", "")
        # Never the detail: it would write keys and values into a log.
        super().__init__(f"{fields.get('M', 'no message')} ({self.code})")


class Statement:
    """A statement prepared once a connection. `columns` are `struct` codes of rows without nulls.

    With no `columns`, rows come as tuples of `bytes` or None.
    """

    __slots__ = ("layout", "name", "sql")

    def __init__(self, name: str, sql: str, columns: str = "") -> None:
        self.name = name.encode()
        self.sql = sql
        # A row message: its type, its length, the number of columns; each column after its length.
        self.layout = Struct(">7x" + "".join(f"4x{code}" for code in columns.split())) if columns else None


class Flight:
    """Statements on their way together. On an error none of those after it is run."""

    __slots__ = ("_parts", "_prepared", "_wire", "statements")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._parts: list[bytes] = []
        self._prepared: set[bytes] = set()
        self.statements: list[Statement] = []

    def run(self, statement: Statement, *parameters: bytes) -> int:
        """Add a statement; gives its index among the results. `parameters` are in binary format."""
        self._bind(statement, parameters)
        self.statements.append(statement)
        return len(self.statements) - 1

    def copy(self, statement: Statement, data: bytes) -> None:
        """Add `COPY … FROM STDIN (FORMAT binary)` with its whole data."""
        self._bind(statement, ())
        self.statements.append(statement)
        self._parts += (_HEADER.pack(b"d", len(data) + 4), data, _COPY_DONE)

    def _bind(self, statement: Statement, parameters: Sequence[bytes]) -> None:
        name = statement.name
        if name not in self._wire.prepared and name not in self._prepared:
            self._prepared.add(name)
            sql = statement.sql.encode()
            self._parts += (
                # One of that name may be there from a flight that failed after it.
                _HEADER.pack(b"C", len(name) + 6) + b"S" + name + b"\0",
                _HEADER.pack(b"P", len(name) + len(sql) + 8) + name + b"\0" + sql + b"\0\0\0",
            )
        values = b"".join([_LENGTH.pack(len(value)) + value for value in parameters])
        body = b"\0" + name + b"\0" + _BINARY + _COUNT.pack(len(parameters)) + values + _BINARY
        self._parts += (_HEADER.pack(b"B", len(body) + 4), body, _EXECUTE)

    def depart(self) -> None:
        """Send what was added so far: the server works on it while the rest is made.

        Such a flight has to land, whatever becomes of the rest. Raises `WireLost`.
        """
        self._wire.departed = self
        self._wire.prepared |= self._prepared
        self._wire.send(b"".join(self._parts), self.statements)
        self._parts.clear()

    async def land(self) -> list[list[Row]]:
        """Send everything and wait; one list of rows a statement, in order.

        Raises `ServerRefused` for the first that failed, `WireLost` when the connection breaks.
        """
        self._wire.departed = None
        # Only now: a flight that is given up before it is sent has prepared nothing.
        self._wire.prepared |= self._prepared
        try:
            return await self._wire.exchange(b"".join([*self._parts, _SYNC]), self.statements)
        except ServerRefused:
            self._wire.prepared.difference_update(self._prepared)
            raise


class _Opened(asyncpg.Connection):
    """asyncpg's own connection, which tells what it is connected by."""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *rest: Any) -> None:
        super().__init__(protocol, transport, *rest)
        self.transport = transport


class Wire(asyncio.Protocol):
    """One connection, one flight at a time. `departed` is one that is on its way and has not landed."""

    def __init__(self, opened: _Opened) -> None:
        self.prepared: set[bytes] = set()
        self.departed: Flight | None = None
        self._opened = opened
        self._received = bytearray()
        self._statements: Sequence[Statement] = ()
        self._results: list[list[Row]] = []
        self._rows: list[Row] = []
        self._error: Exception | None = None
        self._landing: asyncio.Future[list[list[Row]]] | None = None
        self._is_lost = False
        opened.transport.set_protocol(self)

    @classmethod
    async def open(cls, url: str, settings: dict[str, str]) -> Wire:
        """Connect to `url` with session `settings`. Raises what `asyncpg.connect` raises."""
        opened = await asyncpg.connect(url, server_settings=settings, connection_class=_Opened)
        _watch(opened.transport.get_extra_info("socket"))
        return cls(opened)

    @property
    def is_lost(self) -> bool:
        """True once the connection broke or was closed."""
        return self._is_lost

    def flight(self) -> Flight:
        """An empty flight."""
        return Flight(self)

    async def exchange(self, data: bytes, statements: Sequence[Statement]) -> list[list[Row]]:
        """Send a flight, or the rest of it, up to its sync; wait until the server is ready for the next."""
        self.send(data, statements)
        self._landing = asyncio.get_running_loop().create_future()
        try:
            return await self._landing
        except asyncio.CancelledError:
            self.close()  # its answers would be taken for those of the next flight
            raise
        finally:
            self._landing = None

    def send(self, data: bytes, statements: Sequence[Statement]) -> None:
        """Send a part of the flight of these `statements`, to which more may be added. Raises `WireLost`."""
        if self._is_lost:
            raise WireLost("the connection is gone")
        if statements is not self._statements:
            self._statements, self._results, self._rows, self._error = statements, [], [], None
        self._opened.transport.write(data)

    def close(self) -> None:
        """End the session; nothing that was not committed is."""
        if not self._is_lost:
            self._is_lost = True
            self._opened.transport.write(_TERMINATE)
            self._opened.transport.close()
        self._opened.terminate()

    def data_received(self, data: bytes) -> None:
        """Take what has arrived and read every message that is whole."""
        received = self._received
        received += data
        at, end = 0, len(received)
        while end - at >= _HEADER.size:
            kind = received[at]
            size = _LENGTH.unpack_from(received, at + 1)[0] + 1
            if at + size > end:
                break
            if kind == _ROW:
                at = self._read_rows(at, size, end)
                continue
            if kind == _COMPLETE:
                self._results.append(self._rows)
                self._rows = []
            elif kind == _ERROR:
                self._fail(ServerRefused(_fields(bytes(received[at + 5 : at + size]))))
            elif kind == _READY:
                self._land()
            at += size
        del received[:at]

    def _read_rows(self, at: int, size: int, end: int) -> int:
        """Read the row at `at`, and those of its width after it; gives where they end."""
        received = self._received
        layout = self._statements[len(self._results)].layout
        if layout is None:
            self._rows.append(_values(received, at))
            return at + size
        if size != layout.size:
            self._fail(TypeError(f"a row of {size} bytes where one of {layout.size} was expected"))
            return at + size
        stop = at + size
        while stop + size <= end and received[stop] == _ROW:
            stop += size
        self._rows += layout.iter_unpack(bytes(received[at:stop]))
        return stop

    def _fail(self, error: Exception) -> None:
        """Keep the first error: it is the cause of the others."""
        if self._error is None:
            self._error = error

    def _land(self) -> None:
        landing = self._landing
        if landing is None or landing.done():
            return
        if self._error is not None:
            landing.set_exception(self._error)
        else:
            landing.set_result(self._results)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server or the network went away."""
        self._is_lost = True
        landing = self._landing
        if landing is not None and not landing.done():
            said = self._error or exc
            landing.set_exception(WireLost(f"the connection broke: {said or 'no reason given'}"))


def _watch(opened: socket.socket) -> None:
    """Let the system notice when the other side of a connection over the network is gone."""
    if opened.family in (socket.AF_INET, socket.AF_INET6):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _WATCH.items():
            if hasattr(socket, name):  # not every system has all of them
                opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _values(message: bytearray, at: int) -> Row:
    """The columns of the row message at `at`, as bytes or None."""
    (count,) = _COUNT.unpack_from(message, at + 5)
    at += 7
    values: list[bytes | None] = []
    for _ in range(count):
        (size,) = _LENGTH.unpack_from(message, at)
        at += 4
        if size < 0:
            values.append(None)
        else:
            values.append(bytes(message[at : at + size]))
            at += size
    return tuple(values)


def _fields(message: bytes) -> dict[str, str]:
    """The fields of an error message by their letters."""
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in message.split(b"\0") if part}
