"""The gateway as one ASGI application: its routes, counted and named."""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from gateway import oauth

from . import graphql, health, seals
from .metrics import Observed, metrics_of
from .services import Services

_METRICS_PATH: Final = "/metrics"


def create_app(services: Services) -> ASGIApp:
    """The application that answers with `services`, which the caller opens and closes."""
    routes: list[BaseRoute] = [
        *graphql.static_files(services.settings),
        *oauth.routes(services.authorization),
        *health.routes(services.database, services.pollers),
        *seals.routes(services.database),
        Route(_METRICS_PATH, metrics_of(services.database)),
    ]
    paths = frozenset(route.path for route in routes if isinstance(route, Route))
    return Observed(graphql.InFront(services, Starlette(routes=routes)), paths | {graphql.PATH})
