"""Backing up the PostgreSQL of our own while it is written to, and making an installation of a backup.

A backup is what `pg_basebackup` makes: every file of the cluster and the log that it needs to be
one instant, with a manifest of their SHA-256. It has no secrets: those are kept apart.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Final

import asyncpg

from gateway.unable import Unable, explain

from .account import Account, server_folder
from .addresses import HOST
from .folder import DataFolder, write_private
from .postgres import ADMIN, MAJOR, Postgres, wheel_binaries

FORMAT: Final = "kopilka backup 1"

_CLUSTER: Final = "postgres"
_FACTS: Final = "backup.json"
_SECRETS: Final = "secrets.json"
_MANIFEST: Final = "backup_manifest"


def back_up(data: Path, to: Path, facts: Mapping[str, Any]) -> None:
    """Copy the running PostgreSQL of the data folder `data` into the new folder `to`, and verify it.

    `facts` is what is known of the ledger before: a restore is compared with it. Raises `Unable`.
    """
    try:
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(to.iterdir()):
            raise Unable(f"{to} is not empty: name a new folder for each backup.")
        secrets = json.loads((data / _SECRETS).read_text())
        port = json.loads((data / "ports.json").read_text())["postgres"]
    except (OSError, ValueError, KeyError) as error:
        raise Unable(f"There is no PostgreSQL of Kopilka's own in {data}: {error}.") from None
    _run(
        "pg_basebackup",
        *("--host", HOST, "--port", str(port), "--username", ADMIN, "--no-password"),
        *("--pgdata", str(to / _CLUSTER), "--format", "plain", "--wal-method", "stream"),
        *("--checkpoint", "fast", "--manifest-checksums", "SHA256"),
        password=secrets[ADMIN],
    )
    verify(to)
    write_private(to / _FACTS, json.dumps({"format": FORMAT, **facts}, indent=1))


def verify(backup: Path) -> None:
    """Check every file of a backup against its manifest. Raises `Unable` naming the first that differs.

    Done here, since the wheel's `pg_verifybackup` ends by a segmentation fault. The log beside
    the files has checksums of its own, and PostgreSQL refuses to start where it is not whole.
    """
    cluster = backup / _CLUSTER
    try:
        written = (cluster / _MANIFEST).read_bytes()
        manifest = json.loads(written)
        # The last line is the checksum of all the lines before it.
        lines = written.splitlines(keepends=True)[:-1]
        if sha256(b"".join(lines)).hexdigest() != manifest["Manifest-Checksum"]:
            raise Unable(f"The manifest of {backup} is damaged.")
        for file in manifest["Files"]:
            if _sha256(cluster / file["Path"]) != file["Checksum"]:
                raise Unable(f"{cluster / file['Path']} is damaged: its checksum differs.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unable(f"{backup} is no whole backup: {error}.") from None


def facts_of(backup: Path) -> dict[str, Any]:
    """What was known of the ledger when the backup began. Raises `Unable` if this is no whole backup."""
    try:
        facts = json.loads((backup / _FACTS).read_text())
    except (OSError, ValueError):
        raise Unable(f"{backup} is no backup that was finished: it has no {_FACTS}.") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise Unable(f"{backup} was made by another version of Kopilka.")
    return facts


def restored(backup: Path, folder: DataFolder, account: Account, secrets: Path | None) -> Postgres:
    """A PostgreSQL, started, whose files in `folder` are those of the backup.

    `secrets` is the kept copy of the installation's secrets.json; None when `folder` has it already.
    Raises `Unable`, and leaves an installation that is there as it is.
    """
    facts_of(backup)
    verify(backup)
    _take_secrets(folder, secrets)
    try:
        place = server_folder(folder.path / "postgres", account)
        if any(place.iterdir()):
            raise Unable(f"{folder.path} has a PostgreSQL already: restore into a new data folder.")
        scratch = place / f"{MAJOR}.new"
        shutil.copytree(backup / _CLUSTER, scratch, symlinks=True)
        for path in (scratch, *scratch.rglob("*")):
            account.owns(path)
        scratch.chmod(0o700)
        scratch.rename(place / str(MAJOR))
    except OSError as error:
        raise explain(error, f"copying {backup}") from error
    postgres = Postgres(folder, account)
    try:
        postgres.start()
    except asyncpg.InvalidPasswordError:
        postgres.stop()
        raise Unable("These secrets are not those of the installation that was backed up.") from None
    return postgres


def _take_secrets(folder: DataFolder, secrets: Path | None) -> None:
    own = folder.path / _SECRETS
    if secrets is not None and own.exists():
        raise Unable(f"{folder.path} has secrets of its own: restore into a new data folder.")
    if secrets is None and not own.exists():
        raise Unable("A backup has no secrets: give the kept copy of secrets.json with --secrets.")
    if secrets is not None:
        try:
            write_private(own, secrets.read_text())
        except OSError as error:
            raise explain(error, f"reading {secrets}") from error


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()


def _run(program: str, *arguments: str, password: str | None = None) -> None:
    environment = os.environ | ({"PGPASSWORD": password} if password else {})
    try:
        done = subprocess.run(  # noqa: S603 - a program of the wheel
            [wheel_binaries().program(program), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise explain(error, f"starting {program}") from error
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line] or ["it gave no reason"]
        raise Unable(f"{lines[0].removeprefix(f'{program}: ').removeprefix('error: ')}.")
