"""GraphiQL for development, from files that ship with the package: no CDN, no build."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

STATIC: Final = Path(str(files("gateway") / "static" / "graphiql"))
"""The folder to serve at `STATIC_PATH`."""

STATIC_PATH: Final = "/static/graphiql"


@cache
def page() -> bytes:
    """The page that GET /graphql answers to a browser."""
    return (STATIC / "index.html").read_bytes()
