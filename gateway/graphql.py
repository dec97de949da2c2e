"""`/graphql`: the published schema behind the view, and GraphiQL's files in development."""

from __future__ import annotations

from typing import Final

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http import GraphQLEndpoint, Limits
from gateway.http.graphiql import STATIC, STATIC_PATH

from .context import ContextMaker
from .schema import make_schema
from .services import Services
from .settings import Settings

PATH: Final = "/graphql"


def endpoint(services: Services) -> GraphQLEndpoint:
    """The view of the published schema, answering with `services`."""
    return GraphQLEndpoint(
        make_schema(),
        verify=services.verifier.verify,
        make_context=ContextMaker(services),
        limits=_limits(services.settings),
        is_development=services.settings.is_development,
    )


class InFront:
    """Answers `PATH` itself and passes the rest on, since routing costs more than a small mutation."""

    def __init__(self, services: Services, rest: ASGIApp) -> None:
        self._endpoint = endpoint(services)
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._endpoint(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def static_files(settings: Settings) -> list[BaseRoute]:
    """GraphiQL's files, in development."""
    return [Mount(STATIC_PATH, StaticFiles(directory=STATIC))] if settings.is_development else []


def _limits(settings: Settings) -> Limits:
    return Limits(
        body_bytes=settings.body_bytes,
        budget=settings.cost_budget,
        restore_per_second=settings.cost_restored_per_second,
    )
