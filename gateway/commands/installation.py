"""Which installation a command works on: the environment's, or the one in a data folder."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import SecretStr

from gateway.embedded import known_settings
from gateway.settings import Settings, read_settings
from gateway.unable import Unable

DataOption = Annotated[
    Path | None, typer.Option("--data", help="The data folder (default: .kopilka, or KOPILKA_DATA_DIR).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

DATABASE_URLS: Final = ("database_url", "owner_url", "reader_url")


def settings_with(*, data: Path | None = None, port: int | None = None) -> Settings:
    """The environment's settings, what was typed winning over them."""
    typed = {"data_dir": data, "port": port}
    settings = read_settings().model_copy(update={key: value for key, value in typed.items() if value})
    _check_urls(settings)
    return settings


def installed(data: Path | None = None, *, port: int | None = None) -> Settings:
    """Settings complete enough to connect: what the environment lacks, the data folder knows."""
    settings = settings_with(data=data, port=port)
    return completed(settings, known_settings(settings.data_dir))


def completed(settings: Settings, known: Mapping[str, str]) -> Settings:
    """`settings` with what is missing taken from `known`."""
    missing = {name: SecretStr(text) for name, text in known.items() if getattr(settings, name) is None}
    return settings.model_copy(update=missing)


def who() -> str:
    """The machine's account that typed the command, by name where it has one."""
    number = os.geteuid()
    try:
        return f"account:{pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"account:{number}"


def _check_urls(settings: Settings) -> None:
    """All three roles of a PostgreSQL, or none and then one is started."""
    missing = [f"KOPILKA_{name.upper()}" for name in DATABASE_URLS if getattr(settings, name) is None]
    if 0 < len(missing) < len(DATABASE_URLS):
        raise Unable(f"To use a PostgreSQL of yours, set {' and '.join(missing)} too: one URL a role.")
