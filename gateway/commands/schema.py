"""`kopilka schema`: print the published contract, write it, or say that the file is stale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from graphql import build_schema, find_breaking_changes

from gateway.schema import published
from gateway.unable import Unable

FILE: Final = Path("schema.graphql")


def schema_command(
    check: Annotated[bool, typer.Option("--check", help="Fail when schema.graphql is stale.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Print it into schema.graphql.")] = False,
) -> None:
    """Print schema.graphql, the contract with everyone who calls."""
    if check:
        _check(published())
    elif write:
        FILE.write_text(published())
        typer.echo(f"{FILE} is written.")
    else:
        typer.echo(published(), nl=False)


def _check(text: str) -> None:
    """Say what breaks for callers, if anything does. Raises `Unable` when the file is stale."""
    known = FILE.read_text() if FILE.exists() else ""
    if known == text:
        typer.echo(f"{FILE} is current.")
        return
    for change in _breaking(known, text):
        typer.echo(f"breaking: {change}", err=True)
    raise Unable(f"{FILE} is stale: run kopilka schema --write and look at what changed.")


def _breaking(known: str, text: str) -> list[str]:
    if not known:
        return []
    changes = find_breaking_changes(build_schema(known), build_schema(text))
    return [change.description for change in changes]
