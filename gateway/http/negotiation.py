"""Which media type an answer takes, from the order and weights of the Accept header."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

JSON: Final = "application/json"
GRAPHQL: Final = "application/graphql-response+json"
HTML: Final = "text/html"

_RANGES: Final = {
    JSON: JSON,
    GRAPHQL: GRAPHQL,
    HTML: HTML,
    "application/*": JSON,
    "*/*": JSON,
}


@lru_cache(maxsize=512)
def negotiate(accept: str | None) -> str | None:
    """The media type to answer with, None when the client takes none that we speak.

    Heavier weights come first, equal ones in the order written. Without the header it is
    `application/json`, as GraphQL over HTTP says for the time being.
    """
    if accept is None or not accept.strip():
        return JSON
    offers = [_offer(part) for part in accept.split(",")]
    for media_range, weight in sorted(offers, key=lambda offer: -offer[1]):
        if weight > 0 and media_range in _RANGES:
            return _RANGES[media_range]
    return None


def _offer(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                weight = float(parameter[2:])
            except ValueError:
                weight = 0.0
        elif parameter.startswith("charset=") and parameter[8:].strip('"') != "utf-8":
            weight = 0.0
    return media_range, weight


@lru_cache(maxsize=128)
def is_json(content_type: str | None) -> bool:
    """Whether a request's body is JSON in UTF-8, the only kind that is read."""
    media_type, *parameters = (piece.strip().lower() for piece in (content_type or "").split(";"))
    charsets = [parameter[8:].strip('"') for parameter in parameters if parameter.startswith("charset=")]
    return media_type == JSON and all(charset in {"utf-8", "utf8"} for charset in charsets)
