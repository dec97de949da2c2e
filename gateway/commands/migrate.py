"""`kopilka migrate`: bring the database to the version of this code."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from gateway.migrations.upgrade import Installation, migrate
from gateway.settings import Settings

from .installation import DataOption, installed


class ClockKind(StrEnum):
    """Whose clock points follow; decided once for an installation."""

    wall = "wall"
    driven = "driven"


ClockOption = Annotated[
    ClockKind | None,
    typer.Option("--clock", help="For a new installation: the machine's clock, or one that is driven."),
]
StartsAtOption = Annotated[
    datetime | None, typer.Option("--starts-at", help="Where a driven clock begins, UTC (default: now).")
]


def migrate_command(
    clock: ClockOption = None, starts_at: StartsAtOption = None, data: DataOption = None
) -> None:
    """Bring the database to the version of this Kopilka; safe to run again."""
    version = migrated(installed(data), clock=clock, starts_at=starts_at)
    typer.echo(f"The database is at version {version}.")


def migrated(settings: Settings, *, clock: ClockKind | None, starts_at: datetime | None) -> str:
    """Run the migrations; the version the database then has."""
    begins = starts_at.replace(tzinfo=UTC) if starts_at else datetime.now(UTC)
    return asyncio.run(
        migrate(
            owner_url=settings.require("owner_url"),
            writer_url=settings.require("database_url"),
            reader_url=settings.require("reader_url"),
            installation=Installation(is_driven=clock is ClockKind.driven, starts_at=begins)
            if clock
            else None,
        )
    )
