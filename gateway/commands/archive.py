"""`kopilka archive`: a month of history out of the partitions, into tables of its own and into Parquet."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from gateway.clock import ProgrammeClock
from gateway.services import open_database
from gateway.settings import Settings
from gateway.unable import Unable, explain
from ledger.evidence import archive, parquet
from ledger.evidence.archive import Archived
from ledger.evidence.parquet import ArchiveExtraMissing
from ledger.evidence.seal import NotGenuine, Seal
from settlement import Stage, periods

from .installation import DataOption, installed, who

MonthArgument = Annotated[str, typer.Argument(metavar="MONTH", help="The month, such as 2026-01, in UTC.")]
ToOption = Annotated[
    Path | None, typer.Option("--to", metavar="DIR", help="A new folder for its Parquet files.")
]


def archive_command(month: MonthArgument, to: ToOption = None, data: DataOption = None) -> None:
    """Lay a closed and sealed month away. It stays readable; its Parquet files are recounted first."""
    settings = installed(data)
    first = _first_of(month)
    folder = to if to is not None else settings.data_dir / "archive" / f"{first:%Y-%m}"
    laid = asyncio.run(_archive(settings, first, folder))
    typer.echo(
        f"{laid.month:%Y-%m} is archived in {folder}: {laid.operations} operations, {laid.lines} lines, "
        f"{laid.blocks} blocks, recounted from the files."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What an archive holds, every hash of it checked, and what that is worth.

    `seals` are the periods whose seals its buckets lead to; `unchecked` the buckets that lead to none;
    `kept` is the period of the seal that it was compared with, None for none.
    """

    month: str
    rows: dict[str, int]
    seals: list[int]
    unchecked: list[str]
    kept: int | None
    is_recorded: bool

    def figures(self) -> dict[str, Any]:
        """For programs."""
        return {"ok": True, **asdict(self)}

    def told(self) -> str:
        """For people."""
        rows = ", ".join(f"{count} {name}" for name, count in self.rows.items())
        if self.unchecked:
            holds = f"NOT led to a seal, since an older version archived it: {', '.join(self.unchecked)}."
        else:
            seals = ", ".join(map(str, self.seals))
            holds = f"every bucket leads to the seals of periods {seals}, with nothing missing."
        whose = (
            f"The seal of period {self.kept} is the one you kept."
            if self.kept is not None
            else "The seals are the folder's own: compare them, or their key, with what you kept."
        )
        recorded = " It is what the installation wrote down." if self.is_recorded else ""
        return f"{self.month}: {rows}; every hash holds, and {holds} {whose}{recorded}"


def verify_archive(folder: Path, kept: Seal | None, installation: Settings | None) -> Verified:
    """Recount an archive from its files. Raises `Unable`.

    A seal that was `kept` must be one of its seals, and what an `installation` wrote down its digest.
    """
    try:
        found = parquet.verify(folder)
    except (NotGenuine, ArchiveExtraMissing) as reason:
        raise Unable(f"{folder} proves nothing: {reason}.") from None
    month = found.manifest["month"]
    if kept is not None and kept not in found.seals:
        raise Unable(f"{folder} proves nothing: the seal of period {kept.period} is not the one you kept.")
    if installation is not None:
        recorded = asyncio.run(_recorded(installation, _first_of(month)))
        if recorded != found.digest:
            raise Unable(f"{folder} is not what was archived of {month}: its manifest is another one.")
    return Verified(
        month=month,
        rows={name: told["rows"] for name, told in found.manifest["tables"].items()},
        seals=[seal.period for seal in found.seals],
        unchecked=[str(each) for each in found.unchecked],
        kept=None if kept is None else kept.period,
        is_recorded=installation is not None,
    )


def _first_of(month: str) -> date:
    try:
        return datetime.strptime(month, "%Y-%m").date()  # noqa: DTZ007  # a month has no time zone
    except ValueError:
        raise Unable(f"{month!r} is no month: write it like 2026-01.") from None


async def _recorded(settings: Settings, month: date) -> bytes | None:
    async with open_database(settings) as database, database.writer.connect() as connection:
        return await archive.digest_of(connection, month)


async def _archive(settings: Settings, month: date, folder: Path) -> Archived:
    owner = create_async_engine(
        make_url(settings.require("owner_url")).set(drivername="postgresql+asyncpg"), poolclass=NullPool
    )
    try:
        async with open_database(settings) as database:
            at = (await ProgrammeClock.read(database)).clock.now()
            async with owner.connect() as connection:
                await connection.execution_options(isolation_level="REPEATABLE READ")
                await _check_closed(connection, month)
                exported = await archive.export(connection, month, folder)
            return await archive.detach(owner, month, exported, by=who(), at=at)
    except (archive.MonthNotArchivable, NotGenuine, ArchiveExtraMissing) as reason:
        raise Unable(f"Nothing was archived: {reason}.") from None
    except FileExistsError:
        raise Unable(f"{folder} is there already: name a new folder with --to.") from None
    except OSError as error:
        raise explain(error, f"writing {folder}") from None
    finally:
        await owner.dispose()


async def _check_closed(connection: AsyncConnection, month: date) -> None:
    """Every period with rows in the month has been closed, not merely left."""
    for period in await archive.periods_in(connection, month):
        if (await periods.stage_of(connection, period)).is_before(Stage.PROPOSED):
            raise archive.MonthNotArchivable(f"period {period}, which lies in it, is not closed")
