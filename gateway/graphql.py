"""`/graphql`: the published schema behind the view, and GraphiQL's files in development."""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from gateway.http import GraphQLEndpoint, Limits
from gateway.http.graphiql import STATIC, STATIC_PATH

from .context import ContextMaker
from .schema import make_schema
from .services import Services
from .settings import Settings

PATH = "/graphql"


def endpoint(services: Services) -> GraphQLEndpoint:
    """The view of the published schema, answering with `services`."""
    return GraphQLEndpoint(
        make_schema(),
        verify=services.verifier.verify,
        make_context=ContextMaker(services),
        limits=_limits(services.settings),
        is_development=services.settings.is_development,
    )


def routes(services: Services) -> list[BaseRoute]:
    """Where it is served."""
    served: list[BaseRoute] = [Route(PATH, endpoint(services))]
    if services.settings.is_development:
        served.append(Mount(STATIC_PATH, StaticFiles(directory=STATIC)))
    return served


def _limits(settings: Settings) -> Limits:
    return Limits(
        body_bytes=settings.body_bytes,
        budget=settings.cost_budget,
        restore_per_second=settings.cost_restored_per_second,
    )
