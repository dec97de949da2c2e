"""Everything a process holds open to answer: opened and closed in one place, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from gateway.oauth import Addresses, AuthorizationServer, KeyRing, KeySealer, Upkeep, Verifier
from ledger import Ledger
from ledger.evidence import seal_keys
from ledger.evidence.seal_keys import SealKeys
from ledger.kernel.clock import Clock
from ledger.kernel.database import Database
from ledger.kernel.poller import Poller
from members import Handles, MasterKeys, Tokens
from partners import Directories, QuoteTokens

from .clock import ProgrammeClock
from .migrations.upgrade import pending
from .reach import reach
from .settings import Settings
from .unable import Unable


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the gateway and the worker reach the rooms through."""

    settings: Settings
    database: Database
    ledger: Ledger
    clock: Clock
    keys: MasterKeys
    handles: Handles
    tokens: Tokens
    quotes: QuoteTokens
    seal_keys: SealKeys
    directories: Directories
    authorization: AuthorizationServer
    verifier: Verifier
    pollers: tuple[Poller, ...]
    """What keeps all this fresh."""
    proving: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the whole ledger is proved: two at once would take each other's connections."""


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Services that run until the block ends. Raises `Unable` when the installation is not ready."""
    keys = master_keys(settings)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings))
        directories = Directories(database)
        await directories.start()
        stack.push_async_callback(directories.stop)
        programme_clock = await ProgrammeClock.read(database)
        programme_clock.start()
        stack.push_async_callback(programme_clock.stop)
        addresses = _addresses(settings)
        key_ring = KeyRing(_key_sealer(keys))
        verifier = Verifier(key_ring, addresses)
        upkeep = Upkeep(database, key_ring, verifier)
        await _start(upkeep)
        stack.push_async_callback(upkeep.stop)
        ledger = _ledger(settings, database, programme_clock.clock)
        await ledger.start()
        stack.push_async_callback(ledger.drain)
        yield Services(
            settings=settings,
            database=database,
            ledger=ledger,
            clock=programme_clock.clock,
            keys=keys,
            handles=Handles(keys),
            tokens=Tokens(database, keys),
            quotes=QuoteTokens(keys),
            seal_keys=seal_keys_of(keys),
            directories=directories,
            authorization=AuthorizationServer(database, key_ring, addresses),
            verifier=verifier,
            pollers=(directories.poller, programme_clock.poller, upkeep.poller),
        )


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """The database until the block ends. Raises `Unable` when it is away or lacks migrations."""
    writer_url, reader_url = settings.require("database_url"), settings.require("reader_url")
    for url in (writer_url, reader_url):
        await reach(url)
    database = await Database.open(writer_url=writer_url, reader_url=reader_url)
    try:
        await _check_migrations(database)
        yield database
    finally:
        await database.close()


def master_keys(settings: Settings) -> MasterKeys:
    """The master keys that the settings hold. Raises `Unable`."""
    try:
        return MasterKeys.from_text(settings.require("master_key"))
    except ValueError as error:
        raise Unable(f"KOPILKA_MASTER_KEY is wrong: {error}.") from None


def seal_keys_of(keys: MasterKeys) -> SealKeys:
    """What opens and makes the keys that sign seals."""
    newest_first = (keys.current, *keys.versions)
    return SealKeys([keys.derive(seal_keys.PURPOSE, version) for version in newest_first])


def _addresses(settings: Settings) -> Addresses:
    try:
        return Addresses(settings.issuer)
    except ValueError as error:
        raise Unable(f"KOPILKA_ISSUER is wrong: {error}.") from None


async def _start(upkeep: Upkeep) -> None:
    try:
        await upkeep.start()
    except ValueError as error:
        raise Unable(f"KOPILKA_MASTER_KEY is not the one of this database: {error}.") from None


def _key_sealer(keys: MasterKeys) -> KeySealer:
    newest_first = (keys.current, *keys.versions)
    return KeySealer([keys.derive("oauth/signing-keys", version) for version in newest_first])


async def _check_migrations(database: Database) -> None:
    async with database.writer.connect() as connection:
        if await pending(connection):
            raise Unable("The database lacks migrations of this version: run kopilka migrate.")


def _ledger(settings: Settings, database: Database, clock: Clock) -> Ledger:
    return Ledger(
        database,
        clock,
        lanes=settings.lanes,
        connections=settings.lane_connections,
        batch_limit=settings.batch_limit,
        queue_limit=settings.queue_limit,
        drain_seconds=settings.drain_seconds,
    )
