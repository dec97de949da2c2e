"""`kopilka backup` and `kopilka restore`, for an installation that runs a PostgreSQL of its own."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.clock import ProgrammeClock
from gateway.embedded import DataFolder, backup, serving_account
from gateway.migrations.upgrade import newest
from gateway.services import open_database
from gateway.settings import Settings
from gateway.unable import Unable
from ledger import heads
from ledger.evidence import sealing
from ledger.proof import Proof
from settlement import audits

from .installation import DataOption, JsonOption, completed, installed, settings_with
from .migrate import migrated

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the backup.")]
SecretsOption = Annotated[
    Path | None,
    typer.Option("--secrets", metavar="FILE", help="The kept copy of the installation's secrets.json."),
]


def backup_command(folder: FolderArgument, data: DataOption = None) -> None:
    """Back up the PostgreSQL that `kopilka up` runs, while tills go on. DIR must be new."""
    if settings_with(data=data).database_url is not None:
        raise Unable("This installation has a PostgreSQL of yours: back it up with its own tools.")
    settings = installed(data)
    facts = asyncio.run(_facts(settings))
    backup.back_up(settings.data_dir, folder, facts)
    typer.echo(f"Backed up into {folder} and verified. Keep secrets.json elsewhere: it is not in there.")


def restore_command(
    folder: FolderArgument,
    data: DataOption = None,
    secrets: SecretsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an installation of a backup in a new data folder, and prove it; exit code 1 if it fails."""
    settings = settings_with(data=data)
    if settings.database_url is not None:
        raise Unable("KOPILKA_DATABASE_URL names a PostgreSQL of yours: restore it with its own tools.")
    home = DataFolder(settings.data_dir)
    try:
        postgres = backup.restored(folder, home, serving_account(), secrets)
        try:
            settings = completed(settings, postgres.role_urls())
            migrated(settings, clock=None, starts_at=None)
            problems, proof = asyncio.run(_compare(settings, backup.facts_of(folder)))
        finally:
            postgres.stop()
    finally:
        home.close()
    problems += [f"{finding.invariant}: {finding.row}" for finding in proof.findings]
    if as_json:
        figures = {"ok": not problems, "operations": proof.operations, "problems": problems}
        typer.echo(json.dumps(figures))
    for problem in () if as_json else problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    if not as_json:
        start = f"kopilka up --data {shlex.quote(str(settings.data_dir))}"
        typer.echo(f"Restored and proved: {proof.operations} operations. Start it with {start}.")


async def _facts(settings: Settings) -> dict[str, Any]:
    async with open_database(settings) as database, database.writer.connect() as connection:
        return {
            "began_at": datetime.now(UTC).isoformat(),
            "version": newest(),
            "heads": [
                [head.bucket, head.height, head.hash.hex()] for head in await heads.all_heads(connection)
            ],
            "seals": {seal.period: seal.root.hex() for seal in await sealing.all_seals(connection)},
        }


async def _compare(settings: Settings, facts: Mapping[str, Any]) -> tuple[list[str], Proof]:
    """What the restored ledger lacks of what was known when the backup began; and its proof."""
    problems = []
    async with open_database(settings) as database:
        async with database.writer.connect() as connection:
            for bucket, height, hash_ in facts["heads"]:
                if await heads.hash_at(connection, bucket, height) != bytes.fromhex(hash_):
                    problems.append(f"block {height} of bucket {bucket} is not what was backed up")
            seals = {seal.period: seal.root.hex() for seal in await sealing.all_seals(connection)}
        for period, root in facts["seals"].items():
            if seals.get(int(period)) != root:
                problems.append(f"the seal of period {period} is not what was backed up")
        at = (await ProgrammeClock.read(database)).clock.now()
        return problems, (await audits.audit(database, at=at)).proof
