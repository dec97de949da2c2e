"""The published schema: types and resolvers, one file an audience; a resolver calls one use case."""

from .root import make_schema, published

__all__ = ["make_schema", "published"]
