"""GraphQL over HTTP: negotiation, documents, limits, cost, and the compiled way through graphql-core."""

from .access import PUBLIC, Access, access_of, guarded
from .budget import Budgets, Meter
from .endpoint import GraphQLEndpoint
from .inputs import Exactly
from .limits import Limits

__all__ = [
    "PUBLIC",
    "Access",
    "Budgets",
    "Exactly",
    "GraphQLEndpoint",
    "Limits",
    "Meter",
    "access_of",
    "guarded",
]
