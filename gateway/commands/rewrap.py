"""`kopilka rewrap`: what an older master key made is made again under the newest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.services import master_keys, open_database
from gateway.settings import Settings
from gateway.unable import Unable
from ledger.kernel.database import Database
from members import MasterKeys, UnknownKeyVersion, reindex, rewrap, under_older

from .installation import DataOption, installed

_TRIES: Final = 10
_PAUSE_SECONDS: Final = 0.5
"""How long whoever enrols somebody may take; what is in other hands is passed over."""

_Portion = Callable[[AsyncConnection, MasterKeys], Awaitable[int]]


def rewrap_command(data: DataOption = None) -> None:
    """Bring members' data, phones and cards under the newest version of the master key; tills go on.

    Exit code 1 when something was in other hands all the while: then repeat it.
    """
    try:
        version, wrapped, indexed, remaining = asyncio.run(_rewrap(installed(data)))
    except UnknownKeyVersion as reason:
        raise Unable(f"Not everything could be read: {reason}.") from None
    typer.echo(
        f"{wrapped:,} members' keys and {indexed:,} phones, cards and former numbers were brought under "
        f"version {version} of the master key; {remaining:,} are left."
    )
    raise typer.Exit(1 if remaining else 0)


async def _rewrap(settings: Settings) -> tuple[int, int, int, int]:
    keys = master_keys(settings)
    wrapped = indexed = 0
    async with open_database(settings) as database:
        for _ in range(_TRIES):
            wrapped += await _to_the_end(database, keys, rewrap)
            indexed += await _to_the_end(database, keys, reindex)
            async with database.writer.connect() as connection:
                remaining = await under_older(connection, keys)
            if not remaining:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
    return keys.current, wrapped, indexed, remaining


async def _to_the_end(database: Database, keys: MasterKeys, portion: _Portion) -> int:
    """Do portion after portion, each in a transaction of its own so that nobody waits long; how many."""
    done = 0
    while True:
        async with database.writer.begin() as connection:
            count = await portion(connection, keys)
        if not count:
            return done
        done += count
