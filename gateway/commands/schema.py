"""`kopilka schema`: the published contract, printed from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.schema import published
from gateway.unable import Unable, explain

FILE: Final = Path("schema.graphql")


def schema_command(
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether schema.graphql is current.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write schema.graphql.")] = False,
) -> None:
    """Print the GraphQL schema; write it to schema.graphql, or check that file."""
    text = published()
    if check and (not FILE.exists() or FILE.read_text() != text):
        raise Unable("schema.graphql is not what the code says: run kopilka schema --write.")
    if write:
        try:
            FILE.write_text(text)
        except OSError as error:
            raise explain(error, f"writing {FILE}") from error
    if not check and not write:
        typer.echo(text, nl=False)
