"""What comes in and goes out at an OAuth endpoint, and the errors that Authlib has no class for."""

# Authlib ships no types, so its classes are `Any` to the type checker.
# mypy: allow-subclassing-any

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, JSON body, headers."""

    status: int
    body: Mapping[str, Any]
    headers: list[tuple[str, str]]


class _TooMany(OAuth2Error):
    """Something was done too often; Retry-After says in how many seconds it may be done again."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = math.ceil(seconds)

    def get_headers(self) -> list[tuple[str, str]]:
        """Authlib's headers and when to come back."""
        return [*super().get_headers(), ("Retry-After", str(self._seconds))]


class TooManyFailures(_TooMany):
    """This client failed too often from this address; RFC 6749 has no code of its own for it."""

    error = "invalid_client"
    description = "too many failed attempts"
    status_code = 429


class TooManyRevocations(_TooMany):
    """This client has given up so many tokens that another must wait; 503 is what RFC 7009 has for it."""

    error = "temporarily_unavailable"
    description = "too many tokens were given up: this one still lives"
    status_code = 503


class FormRequest(OAuth2Request):
    """A POST of form fields, each of which occurs once."""

    def __init__(self, uri: str, authorization: str | None, form: Mapping[str, str]) -> None:
        super().__init__("POST", uri, headers={"Authorization": authorization} if authorization else {})
        self.payload = BasicOAuth2Payload(dict(form))

    @property
    def form(self) -> Mapping[str, str]:
        """The fields."""
        return self.payload.data  # type: ignore[no-any-return]  # Authlib is untyped
