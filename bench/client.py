"""A load client that costs little beside the server it measures: HTTP/1.1, kept alive, in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from time import perf_counter
from urllib.parse import urlsplit


class Connection:
    """One kept-alive connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> Connection:
        """Connect to the host and port of `url`."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def exchange(self, request: bytes) -> bytes:
        """Send a whole request and give the body of its answer. Raises unless the status is 200."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
        body = await self._reader.readexactly(int(length))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the gateway answered {head[:60]!r} {body[:300]!r}")
        return body

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def post(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The bytes of a POST request."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def drive(url: str, requests: Sequence[bytes], connections: int) -> tuple[list[bytes], float]:
    """Send every request over so many connections; the answers in no order, and the seconds it took."""
    waiting: Iterator[bytes] = iter(requests)
    answers: list[bytes] = []
    opened = [await Connection.open(url) for _ in range(connections)]

    async def work(connection: Connection) -> None:
        answers.extend([await connection.exchange(request) for request in waiting])

    started = perf_counter()
    await asyncio.gather(*(work(connection) for connection in opened))
    seconds = perf_counter() - started
    for connection in opened:
        connection.close()
    return answers, seconds
