"""What a data folder knows of its installation, as another process reads it there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.unable import Unable, explain

from .addresses import ROLES, postgres_url, valkey_url


def known_settings(path: Path) -> dict[str, str]:
    """Settings by name that `kopilka up` generated in `path`; empty when it never ran there."""
    try:
        secrets, ports = _read(path / "secrets.json"), _read(path / "ports.json")
    except OSError as error:
        raise explain(error, f"reading the data folder {path.absolute()}") from error
    except ValueError:
        raise Unable(f"The data folder {path.absolute()} is damaged: a file in it is not JSON.") from None
    known = {
        name: postgres_url(role, secrets[role], ports["postgres"])
        for name, role in ROLES.items()
        if role in secrets and "postgres" in ports
    }
    if "valkey" in secrets and "valkey" in ports:
        known["redis_url"] = valkey_url(secrets["valkey"], ports["valkey"])
    if "master_key" in secrets:
        known["master_key"] = secrets["master_key"]
    return known


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text())) if file.exists() else {}
