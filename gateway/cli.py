"""The `kopilka` command: what can be typed, and how a failure is said in one sentence."""

from __future__ import annotations

import sys
from typing import Final

import typer

from . import logging
from .commands.archive import archive_command
from .commands.backup import backup_command, restore_command
from .commands.balance import balance_command
from .commands.bucket import bucket_app
from .commands.demo import demo_command
from .commands.doctor import doctor_command
from .commands.history import history_command
from .commands.imports import import_app
from .commands.migrate import migrate_command
from .commands.period import period_app
from .commands.proof import proof_app, verify_command
from .commands.prove import prove_command
from .commands.replay import replay_app
from .commands.rewrap import rewrap_command
from .commands.schema import schema_command
from .commands.seal import seal_app
from .commands.serve import serve_command
from .commands.settlement import settlement_app
from .commands.up import up_command
from .commands.worker import worker_command
from .unable import Unable

app: Final = typer.Typer(
    name="kopilka",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command("up")(up_command)
app.command("serve")(serve_command)
app.command("worker")(worker_command)
app.command("migrate")(migrate_command)
app.command("demo")(demo_command)
app.command("doctor")(doctor_command)
app.command("schema")(schema_command)
app.command("prove")(prove_command)
app.command("archive")(archive_command)
app.command("backup")(backup_command)
app.command("restore")(restore_command)
app.command("verify")(verify_command)
app.command("balance")(balance_command)
app.command("history")(history_command)
app.command("rewrap")(rewrap_command)

app.add_typer(period_app, name="period")
app.add_typer(seal_app, name="seal")
app.add_typer(proof_app, name="proof")
app.add_typer(bucket_app, name="bucket")
app.add_typer(settlement_app, name="settlement")
app.add_typer(import_app, name="import")
app.add_typer(replay_app, name="replay")


@app.callback()
def begin() -> None:
    """Kopilka: one points currency for many merchants."""
    logging.to_standard_error()


def main() -> None:
    """Run the command line; anything that is in the way of it becomes one sentence and exit code 1."""
    try:
        app()
    except Unable as reason:
        print(f"kopilka: {reason}", file=sys.stderr)  # noqa: T201 - this is the answer
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
