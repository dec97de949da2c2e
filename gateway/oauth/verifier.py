"""The hot path: from an `Authorization` header to a `Caller`, in memory.

A token is verified once and remembered until it expires; a revocation makes it forgotten.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from gateway.caller import Caller, Unauthenticated, principal_of
from partners.clients import Revocation

from .addresses import Addresses
from .keys import KeyRing
from .tokens import AccessToken, InvalidToken, TokenReader

REMEMBERED: Final = 10_000
"""Verified tokens kept at most; one more makes the oldest forgotten."""


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    jti: str
    expires_at: int


class Verifier:
    """Knows who holds a good access token. Needs no SQL: `Upkeep` tells it what was revoked."""

    def __init__(self, keys: KeyRing, addresses: Addresses, *, now: Callable[[], float] = time.time) -> None:
        self._reader = TokenReader(keys, addresses)
        self._now = now
        self._remembered: OrderedDict[str, _Verified] = OrderedDict()
        self._revoked_tokens: set[str] = set()
        self._revoked_clients: set[str] = set()

    def verify(self, authorization: str | None) -> Caller:
        """The caller behind the value of an `Authorization` header. Raises `Unauthenticated`."""
        if authorization is None:
            raise Unauthenticated("an access token is needed", token_presented=False)
        now = self._now()
        verified = self._remembered.get(authorization)
        if verified is None or verified.expires_at <= now:
            verified = self._verify(authorization, now)
        return verified.caller

    def see(self, revocations: Collection[Revocation]) -> None:
        """Take over the revocations now in force, and forget tokens that they concern."""
        tokens = {each.jti for each in revocations if each.jti is not None}
        clients = {each.client_id for each in revocations if each.jti is None}
        if tokens <= self._revoked_tokens and clients <= self._revoked_clients:
            return  # What ran out may stay known: its tokens are dead, and ids are never used twice.
        self._revoked_tokens, self._revoked_clients = tokens, clients
        for authorization in [text for text, it in self._remembered.items() if self._is_revoked(it)]:
            del self._remembered[authorization]

    def _verify(self, authorization: str, now: float) -> _Verified:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("an access token is needed", token_presented=False)
        try:
            claims = self._reader.read(token, now)
        except InvalidToken as reason:
            raise Unauthenticated(str(reason), token_presented=True) from None
        verified = _Verified(caller=_caller(claims), jti=claims.jti, expires_at=claims.exp)
        if self._is_revoked(verified):
            raise Unauthenticated("the token was revoked", token_presented=True)
        self._remember(authorization, verified)
        return verified

    def _remember(self, authorization: str, verified: _Verified) -> None:
        self._remembered[authorization] = verified
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def _is_revoked(self, verified: _Verified) -> bool:
        return verified.jti in self._revoked_tokens or verified.caller.client_id in self._revoked_clients


def _caller(claims: AccessToken) -> Caller:
    return Caller(
        client_id=claims.client_id,
        kind=claims.kind,
        partner=claims.partner,
        scopes=frozenset(claims.scope.split()),
        outlets=None if claims.outlets is None else frozenset(claims.outlets),
        principal=principal_of(claims.kind, claims.client_id, claims.partner),
    )
