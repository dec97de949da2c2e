"""`bench/results/latest.json`: the figures, and of each part when and of which commit it was measured."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

LATEST: Final = Path(__file__).parent / "results" / "latest.json"
_ROOT: Final = Path(__file__).parent.parent


def known(path: Path = LATEST) -> dict[str, Any]:
    """Everything measured so far: figures by name, and `measured` by part."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def figures(path: Path = LATEST) -> dict[str, float]:
    """The figures alone."""
    return {name: value for name, value in known(path).items() if name != "measured"}


def merge(part: str, found: Mapping[str, float], path: Path = LATEST) -> None:
    """Put the figures of `part` in their places; those of other parts stay."""
    kept = known(path)
    told = {**kept.pop("measured", {}), part: {"at": _now(), "commit": _commit()}}
    rounded = {name: round(figure, 3) for name, figure in sorted((kept | dict(found)).items())}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**rounded, "measured": told}, indent=2, sort_keys=False) + "\n")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")


def _commit() -> str:
    """The commit that was measured, with a plus sign if files differed from it; empty outside a clone."""
    described = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!bench/results", ":!docs")
    return described + "+" * bool(described and changed)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False, timeout=10
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
