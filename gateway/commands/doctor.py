"""`kopilka doctor`: is everything there, and what to do about what is not."""

from __future__ import annotations

import asyncio
import json
import platform
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

import asyncpg
import typer
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from gateway.migrations.upgrade import newest, pending
from gateway.reach import reach
from gateway.services import master_keys
from gateway.settings import Settings
from gateway.unable import Unable
from ledger.kernel.database import plain_url

from .installation import DataOption, JsonOption, installed

_PYTHON: Final = (3, 11)
_TOLERATED_SECONDS: Final = 5.0
_START: Final = "start it with kopilka up, or set KOPILKA_…_URL to servers that run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at: what was found, and what to do when it is not well."""

    name: str
    is_well: bool
    found: str
    advice: str = ""


class Sick(Exception):
    """A look that found something wrong."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.advice = advice


Look = Callable[[Settings], Awaitable[str]]
"""Says what it found. Raises `Sick` when that is not well."""


def doctor_command(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Check versions, servers, migrations, keys and the clock, and say what to do."""
    findings = asyncio.run(examine(installed(data)))
    is_well = all(finding.is_well for finding in findings)
    if as_json:
        typer.echo(json.dumps({"ok": is_well, "findings": [asdict(finding) for finding in findings]}))
    else:
        _print(findings)
    raise typer.Exit(0 if is_well else 1)


async def examine(settings: Settings) -> list[Finding]:
    """Every finding, in an order in which the first bad one explains the later ones."""
    findings = [_python(), _packages(), _keys(settings)]
    for name, look in _LOOKS.items():
        findings.append(await _looked(name, look, settings))
    return findings


async def _looked(name: str, look: Look, settings: Settings) -> Finding:
    try:
        return Finding(name=name, is_well=True, found=await look(settings))
    except Sick as sick:
        return Finding(name=name, is_well=False, found=str(sick), advice=sick.advice)
    except Unable as reason:
        return Finding(name=name, is_well=False, found=str(reason), advice=_START)
    except (OSError, RedisError, asyncpg.PostgresError, SQLAlchemyError) as fault:
        found = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        return Finding(name=name, is_well=False, found=found, advice=_START)


def _python() -> Finding:
    return Finding(
        name="Python",
        is_well=sys.version_info >= _PYTHON,
        found=platform.python_version(),
        advice="install Python 3.11 or newer",
    )


def _packages() -> Finding:
    found = ", ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "asyncpg", "strawberry-graphql"))
    return Finding(name="packages", is_well=True, found=found)


def _keys(settings: Settings) -> Finding:
    try:
        versions = master_keys(settings).versions
    except Unable as reason:
        return Finding(
            name="master key", is_well=False, found=str(reason), advice="restore it from where it is kept"
        )
    return Finding(name="master key", is_well=True, found=f"versions {', '.join(map(str, versions))}")


async def _writer(settings: Settings) -> str:
    return f"PostgreSQL {await reach(settings.require('database_url'))}"


async def _reader(settings: Settings) -> str:
    return f"PostgreSQL {await reach(settings.require('reader_url'))}"


async def _queue(settings: Settings) -> str:
    client = Redis.from_url(settings.require("redis_url"), socket_connect_timeout=5)
    try:
        server = await client.info("server")
    finally:
        await client.aclose()
    return f"{server.get('server_name', 'redis')} {server.get('valkey_version', server['redis_version'])}"


async def _migrations(settings: Settings) -> str:
    await reach(settings.require("owner_url"))
    owner = make_url(settings.require("owner_url")).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(owner, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            missing = await pending(connection)
    finally:
        await engine.dispose()
    if missing:
        raise Sick(f"versions {', '.join(missing)} are missing", "run kopilka migrate")
    return f"version {newest()}"


async def _storage(settings: Settings) -> str:
    """As the lanes have it: a database or a role may be set otherwise than its server."""
    asked = "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit')"
    connection = await asyncpg.connect(plain_url(settings.require("database_url")), timeout=5)
    try:
        found = [f"{row['name']} {row['setting']}" for row in await connection.fetch(f"{asked} ORDER BY 1")]
        encoding = await connection.fetchval("SHOW server_encoding")
    finally:
        await connection.close()
    if encoding != "UTF8":
        raise Sick(f"encoded in {encoding}", "make a database with ENCODING 'UTF8' TEMPLATE template0")
    off = [each for each in found if each.endswith(" off")]
    if off:
        raise Sick(", ".join(off), "set it to on: what was answered may be lost when the server fails")
    return ", ".join([encoding, *found])


async def _clock(settings: Settings) -> str:
    connection = await asyncpg.connect(plain_url(settings.require("database_url")), timeout=5)
    try:
        row = await connection.fetchrow("SELECT is_driven, now, clock_timestamp() AS server FROM clock")
    finally:
        await connection.close()
    if row is None:
        raise Sick("no clock", "run kopilka migrate")
    apart = abs((row["server"] - datetime.now(UTC)).total_seconds())
    if apart > _TOLERATED_SECONDS:
        raise Sick(f"this machine and PostgreSQL are {apart:.0f} s apart", "set both by NTP")
    return f"driven, at {row['now'].isoformat()}" if row["is_driven"] else "the machine's"


_LOOKS: Final[dict[str, Look]] = {
    "PostgreSQL, writer": _writer,
    "PostgreSQL, reader": _reader,
    "queue": _queue,
    "migrations": _migrations,
    "storage": _storage,
    "clock": _clock,
}


def _print(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        mark = "[green]✓[/green]" if finding.is_well else "[red]✗[/red]"
        advice = f" → {finding.advice}" if finding.advice and not finding.is_well else ""
        table.add_row(mark, finding.name, Text(f"{finding.found}{advice}"))
    Console().print(table)
