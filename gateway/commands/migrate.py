"""`kopilka migrate`: bring the database to the version of this code."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from gateway.migrations.upgrade import Installation, migrate
from gateway.settings import Settings
from gateway.unable import Unable

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
    datetime | None,
    typer.Option(
        "--starts-at", help="Where a driven clock begins; in UTC, unless an offset is given (default: now)."
    ),
]


def migrate_command(
    clock: ClockOption = None, starts_at: StartsAtOption = None, data: DataOption = None
) -> None:
    """Bring the database to the version of this Kopilka; safe to run again."""
    check_start(clock, starts_at)
    version = migrated(installed(data), clock=clock, starts_at=starts_at)
    typer.echo(f"The database is at version {version}.")


def check_start(clock: ClockKind | None, starts_at: datetime | None) -> None:
    """Raises `Unable` if it is said where a clock begins that is not driven."""
    if starts_at is not None and clock is not ClockKind.driven:
        raise Unable("Only a driven clock begins somewhere: with --starts-at goes --clock driven.")


def in_utc(typed: datetime) -> datetime:
    """The instant that was typed: without an offset it is of UTC."""
    return (typed if typed.tzinfo is not None else typed.replace(tzinfo=UTC)).astimezone(UTC)


def migrated(settings: Settings, *, clock: ClockKind | None, starts_at: datetime | None) -> str:
    """Run the migrations; the version the database then has."""
    begins = datetime.now(UTC) if starts_at is None else in_utc(starts_at)
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
