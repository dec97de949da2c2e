"""Whom the servers run as, and whether that account can reach a file.

PostgreSQL refuses to run as root. Started by root, the servers run as the account `kopilka`
when the machine has one, else as `nobody`; started by anyone else they run as that person.
No permission of a folder that is not ours is ever loosened: what the account cannot reach is
kept in a stand-in below `/var/lib/kopilka`.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.unable import Unable

_STAND_INS: Final = Path("/var/lib/kopilka")
_NAMES: Final = ("kopilka", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine that servers run as; `is_other` when it is not the present one."""

    uid: int
    gid: int
    is_other: bool

    def reaches(self, path: Path) -> bool:
        """Whether the account may enter every folder above `path`, which need not exist yet."""
        return not self.is_other or all(self._enters(parent) for parent in path.resolve().parents)

    def owns(self, path: Path) -> None:
        """Make `path` this account's."""
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def _enters(self, folder: Path) -> bool:
        try:
            found = folder.stat()
        except FileNotFoundError:
            return True
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def serving_account() -> Account:
    """The account that servers started by this process run as."""
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid(), is_other=False)
    for name in _NAMES:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(uid=found.pw_uid, gid=found.pw_gid, is_other=True)
    raise Unable("PostgreSQL does not run as root: add an account named kopilka (useradd --system kopilka).")


def server_folder(folder: Path, account: Account) -> Path:
    """Where a server keeps `folder`: there, or in a stand-in that `folder` becomes a link to."""
    place = folder.parent.resolve() / folder.name
    stand_in = _STAND_INS / f"data-{_digest(str(place))}"
    if place.is_symlink():
        if place.readlink() != stand_in:
            raise Unable(f"{place} was copied or moved from elsewhere: name another data folder with --data.")
    elif account.reaches(place):
        _own_folder(place, account)
        return place
    else:
        # The data folder is new, or was removed: what an earlier one left behind is nobody's.
        shutil.rmtree(stand_in, ignore_errors=True)
        place.symlink_to(stand_in)
    _own_folder(stand_in, account)
    return stand_in


def remove_server_folder(folder: Path) -> None:
    """Forget a stopped server's files, a stand-in included."""
    if folder.is_symlink():
        shutil.rmtree(folder.resolve())
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def reachable_copy(tree: Path, parts: Sequence[str], account: Account) -> Path:
    """`tree`, or a copy of its `parts` made once where `account` can reach it."""
    if account.reaches(tree / "x"):
        return tree
    copy = _STAND_INS / f"programs-{_digest(f'{tree.resolve()} {tree.stat().st_mtime_ns}')}"
    if copy.exists():
        return copy
    _STAND_INS.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_STAND_INS) as scratch:
        whole = Path(scratch) / copy.name
        for part in parts:
            source, target = tree / part, whole / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.a"))
            else:
                shutil.copy2(source, target)
        if not copy.exists():
            whole.rename(copy)
    return copy


def _own_folder(folder: Path, account: Account) -> None:
    folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    account.owns(folder)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
