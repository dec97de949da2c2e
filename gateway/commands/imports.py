"""`kopilka import`: take over what an existing programme owes to its members."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from gateway.schema.node import global_id
from gateway.services import Services, open_services
from gateway.settings import Settings
from gateway.unable import Unable, explain
from ledger.kernel.database import Database
from ledger.kernel.refusals import Refusal, Throttled
from partners import opening
from partners.opening import (
    Checked,
    Chunk,
    Control,
    Difference,
    Format,
    Import,
    Issuers,
    Rehearsal,
    RowOutcome,
    Totals,
)

from .installation import DataOption, JsonOption, installed, who

import_app: Final = typer.Typer(help="Take over an existing programme.", no_args_is_help=True)

_PATIENCE: Final = 60
"""How often a chunk that the ledger has no room for is tried again, a second apart."""

_SHOWN: Final = 5
"""How many refused rows are told on the terminal."""

_PAGE: Final = 1_000
_COLUMNS: Final = ("row", "code", "points", "operation", "field", "message")

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="Members with their lots: CSV or JSON Lines, UTF-8.")
]
SourceOption = Annotated[
    str, typer.Option("--source", help="The programme that the member numbers of the file belong to.")
]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="How it is written; by its name, if left out.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check every row and write nothing.")]
OutcomesOption = Annotated[
    Path | None,
    typer.Option("--outcomes", help="Write what became of each row to this file: .csv, or JSON Lines."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an import came to. `number` is None for a dry run; `shown` are the first of the refused rows."""

    number: int | None
    accepted: int
    refused: int
    totals: Totals
    differences: list[Difference]
    shown: list[RowOutcome]
    names: dict[int, str]
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Every row was taken over and the control totals agree."""
        return not self.refused and not self.differences


@import_app.callback()
def import_command() -> None:
    """Take over an existing programme."""


@import_app.command("balances")
def balances_command(
    file: FileArgument,
    source: SourceOption = "previous",
    format_: FormatOption = None,
    dry_run: DryRunOption = False,
    outcomes: OutcomesOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make members of a file's people and open their balances. The same file again changes nothing.

    Ends with 1 when a row was refused or the control totals differ.
    """
    written = format_ or (Format.CSV if file.suffix.lower() == ".csv" else Format.JSON_LINES)
    try:
        with file.open("rb") as stream:
            job = _Job(stream, written, source, outcomes, console=Console(stderr=True, quiet=as_json))
            report = asyncio.run(job.run(installed(data), rehearse=dry_run))
    except OSError as error:
        raise explain(error, f"reading {file}") from None
    except Refusal as refusal:
        raise Unable(f"{refusal.code}: {refusal.message}.") from None
    if as_json:
        typer.echo(json.dumps(_figures(report)))
    else:
        _print(report)
    raise typer.Exit(0 if report.is_clean else 1)


class _Job:
    """One file on its way in."""

    def __init__(
        self, stream: BufferedReader, format_: Format, source: str, outcomes: Path | None, *, console: Console
    ) -> None:
        self._stream = stream
        self._format = format_
        self._source = source
        self._outcomes = outcomes
        self._progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._refused: list[RowOutcome] = []

    async def run(self, settings: Settings, *, rehearse: bool) -> Report:
        """Take the file over, or only look at it."""
        began = time.monotonic()
        async with open_services(settings) as services:
            at = services.clock.now()
            directory = services.directories.current
            also = {str(global_id("Partner", number)): number for number in directory.partners}
            async with services.database.writer.connect() as connection:
                issuers = await opening.issuers_at(connection, directory, at, also=also)
                await (connection.rollback() if rehearse else connection.commit())
            with self._progress:
                if rehearse:
                    found, claimed, counts = await self._rehearse(services, issuers, at)
                    number = None
                else:
                    known = await self._take_over(services, issuers, at)
                    number, found, claimed = known.id, known.totals, known.control
                    counts = (known.accepted, known.refused)
            return Report(
                number=number,
                accepted=counts[0],
                refused=counts[1],
                totals=found,
                differences=opening.differences(found, claimed),
                shown=self._refused,
                names={partner.id: partner.name for partner in directory.partners.values()},
                seconds=time.monotonic() - began,
            )

    async def _take_over(self, services: Services, issuers: Issuers, at: datetime) -> Import:
        # The file is known by its content, so that whoever begins again goes on where it ended.
        digest = hashlib.file_digest(self._stream, "sha256").hexdigest()
        with _writer(self._outcomes) as write:  # before anything is taken over: the path may be mistyped
            async with services.database.writer.begin() as connection:
                known = await opening.begin(
                    connection, source=self._source, file=f"sha256:{digest}", at=at, by=who()
                )
            if known.ended_at is None:
                for chunk in self._chunks(after=known.done):
                    checked = await _patiently(services, issuers, known, chunk, at)
                    async with services.database.writer.begin() as connection:
                        known = await opening.keep(
                            connection, known.id, chunk, checked, after=known.done, at=at, is_last=False
                        )
                async with services.database.writer.begin() as connection:
                    known = await opening.end(connection, known, at=at)
            if self._outcomes is not None:
                async for row in _kept_outcomes(services.database, known.id):
                    write(row)
        async with services.database.writer.connect() as connection:
            self._refused += await opening.outcomes(
                connection, known.id, after=0, first=_SHOWN, refused_only=True
            )
        return known

    async def _rehearse(
        self, services: Services, issuers: Issuers, at: datetime
    ) -> tuple[Totals, Control, tuple[int, int]]:
        totals, control, rows, refused = Totals(), Control(), 0, 0
        rehearsal = Rehearsal()
        with _writer(self._outcomes) as write:
            for chunk in self._chunks(after=0):
                checked = await opening.check_chunk(
                    services.database, services.keys, issuers, self._source, chunk, rehearsal, at=at
                )
                totals, control = totals.plus(checked.totals), checked.control.over(control)
                rows += len(checked.rows)
                refusals = [row for row in checked.rows if row.code]
                refused += len(refusals)
                self._refused += refusals[: _SHOWN - len(self._refused)]
                for row in checked.rows:
                    write(row)
        return totals, control, (rows - refused, refused)

    def _chunks(self, *, after: int) -> Iterator[Chunk]:
        """The file's chunks after a row, telling how far it has been read."""
        size = self._stream.seek(0, 2)
        self._stream.seek(0)
        task = self._progress.add_task("Reading", total=size)
        for chunk in opening.chunks(self._stream, self._format, size=opening.MAX_RECORDS, after=after):
            yield chunk
            self._progress.update(task, completed=self._stream.tell())


async def _patiently(
    services: Services, issuers: Issuers, known: Import, chunk: Chunk, at: datetime
) -> Checked:
    for _ in range(_PATIENCE):
        try:
            return await opening.post_chunk(
                services.database, services.ledger, services.keys, issuers, known.source, chunk, at=at
            )
        except Throttled as refusal:
            await asyncio.sleep(refusal.seconds)
    raise Unable(f"The ledger takes nothing at present; rows after {known.done} are left. Start again later.")


async def _kept_outcomes(database: Database, number: int) -> AsyncIterator[RowOutcome]:
    after = 0
    async with database.writer.connect() as connection:
        while page := await opening.outcomes(connection, number, after=after, first=_PAGE):
            for row in page:
                yield row
            after = page[-1].row


@contextmanager
def _writer(file: Path | None) -> Iterator[Callable[[RowOutcome], None]]:
    """Writes outcomes to a file as they come: a table if it is called so, else JSON Lines."""
    if file is None:
        yield lambda _row: None
        return
    with _opened(file) as stream:
        if file.suffix.lower() != ".csv":
            yield lambda row: print(json.dumps(_told(row), ensure_ascii=False), file=stream)
            return
        table = csv.DictWriter(stream, _COLUMNS)
        table.writeheader()
        yield lambda row: table.writerow(_told(row))


def _opened(file: Path) -> TextIO:
    try:
        return file.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise explain(error, f"writing {file}") from None


def _told(row: RowOutcome) -> dict[str, Any]:
    operation = None if row.operation is None else str(global_id("Operation", row.operation))
    return {
        "row": row.row,
        "code": row.code or "OK",
        "points": row.points,
        "operation": operation,
        "field": ".".join(row.field),
        "message": row.message,
    }


def _figures(report: Report) -> dict[str, Any]:
    rows = report.accepted + report.refused
    return {
        "import": report.number,
        "dry_run": report.number is None,
        "rows": rows,
        "accepted": report.accepted,
        "refused": report.refused,
        "members": report.totals.members,
        "points": {report.names[issuer]: points for issuer, points in report.totals.points.items()},
        "control": [
            {"of": _of(report, each), "claimed": each.claimed, "found": each.found}
            for each in report.differences
        ],
        "seconds": round(report.seconds, 3),
        "rows_per_second": round(rows / report.seconds) if report.seconds else 0,
    }


def _of(report: Report, difference: Difference) -> str:
    return "members" if difference.issuer is None else report.names[difference.issuer]


def _print(report: Report) -> None:
    console = Console(soft_wrap=True, highlight=False)
    figures = _figures(report)
    console.print(
        f"{'Would take' if report.number is None else 'Took'} over {report.accepted:,} of {figures['rows']:,}"
        f" rows, {report.refused:,} refused; {figures['rows_per_second']:,} rows/s"
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("members", f"{report.totals.members:,}")
    for issuer, points in report.totals.points.items():
        table.add_row(Text(report.names[issuer]), f"{points:,} points")
    console.print(table)
    for row in report.shown:
        where = f" {'.'.join(row.field)}" if row.field else ""
        console.print(f"row {row.row}: {row.code}{where}: {row.message}", markup=False)
    if report.refused > len(report.shown):
        console.print(f"{report.refused - len(report.shown):,} more: --outcomes FILE tells them all.")
    for each in report.differences:
        console.print(
            f"The file claims {each.claimed:,} of {_of(report, each)}, {each.found:,} were found.",
            style="red",
            markup=False,
        )
