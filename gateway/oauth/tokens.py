"""Access tokens (RFC 9068): what is in one, and what makes one good."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from partners.clients import Kind

from .addresses import Addresses
from .compact import NotCompact, segment
from .keys import KeyRing

LONGEST_TOKEN: Final = 8192


class InvalidToken(Exception):
    """A token that is not one of ours, or no longer good."""


class TokenHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole header that our tokens have.

    Nothing else may be in it: a token never says where to find the key that verifies it.
    """

    alg: Literal["ES256"]
    typ: Literal["at+jwt"]
    kid: str


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of an access token; instants are seconds since 1970."""

    iss: str
    aud: str
    sub: str
    client_id: str
    scope: str
    jti: str
    iat: int
    exp: int
    nbf: int = 0
    kind: Kind
    partner: int | None = None
    outlets: list[int] | None = None


_header = msgspec.json.Decoder(TokenHeader)
_claims = msgspec.json.Decoder(AccessToken)


class TokenReader:
    """Reads access tokens of one issuer, for one audience, signed by one key ring."""

    def __init__(self, keys: KeyRing, addresses: Addresses) -> None:
        self._keys = keys
        self._issuer = addresses.issuer
        self._audience = addresses.audience

    def read(self, token: str, now: float) -> AccessToken:
        """The claims of a token that is genuine and lives at `now` (seconds since 1970).

        Says nothing on revocation. Raises `InvalidToken`.
        """
        try:
            header = _header.decode(segment(token, 0, longest=LONGEST_TOKEN))
            claims = self._verified(token, header.kid)
        except (NotCompact, msgspec.MsgspecError, ValueError, RecursionError):
            raise InvalidToken("not an access token") from None
        if claims.iss != self._issuer or claims.aud != self._audience or claims.sub != claims.client_id:
            raise InvalidToken("the token is not for this service")
        if now < claims.nbf:
            raise InvalidToken("the token is not valid yet")
        if claims.exp <= now:
            raise InvalidToken("the token has expired")
        return claims

    def _verified(self, token: str, kid: str) -> AccessToken:
        key = self._keys.public(kid)
        if key is None:
            raise InvalidToken("the token is signed by an unknown key")
        try:
            genuine = jws.deserialize_compact(token, key, algorithms=["ES256"])
        except JoseError:
            raise InvalidToken("the token's signature is wrong") from None
        return _claims.decode(genuine.payload or b"")
