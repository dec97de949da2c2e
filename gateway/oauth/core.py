"""Authlib's authorization server, made ours: one instance serves one request on one connection.

The core is synchronous and runs inside `AsyncConnection.run_sync`: on the event loop, without
threads. What Authlib leaves open or lets pass is closed here: unknown scopes are refused, not
dropped; a failed authentication says little, costs as much as a good one, and is counted.
"""

# Authlib ships no types, so its classes are `Any` to the type checker.
# mypy: allow-subclassing-any

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidClientError, InvalidRequestError
from sqlalchemy import Connection

from partners.clients import SCOPES, Revocation, credentials_of, full_until, insert_revocation, is_revoked

from .addresses import Addresses
from .applicants import KnownClient, by_secret
from .assertions import PrivateKeyJwt, is_plain
from .attempts import Attempts
from .inspection import Introspections, IssuedToken, Revocations
from .issuing import AccessTokens, ClientCredentials
from .keys import KeyRing
from .messages import Answer, FormRequest, TooManyFailures, TooManyRevocations
from .store import use_assertion
from .tokens import AccessToken, InvalidToken, TokenReader

# Authlib's debug lines hold whole access tokens, which belong in no log.
logging.getLogger("authlib").setLevel(logging.INFO)

CLOCK_SKEW: Final = timedelta(minutes=1)


class Core(AuthorizationServer):
    """One request at the token, revocation or introspection endpoint."""

    def __init__(
        self,
        connection: Connection,
        keys: KeyRing,
        addresses: Addresses,
        attempts: Attempts,
        *,
        caller_address: str,
        at: datetime,
    ) -> None:
        super().__init__(scopes_supported=sorted(SCOPES))
        self._connection = connection
        self._reader = TokenReader(keys, addresses)
        self._attempts = attempts
        self._address = caller_address
        self._claimed = ""
        self._at = at
        self.register_grant(ClientCredentials)
        self.register_token_generator("default", AccessTokens(keys, addresses, at))
        self.register_endpoint(Revocations)
        self.register_endpoint(Introspections)
        self.register_client_auth_method("client_secret_basic", by_secret)
        self.register_client_auth_method("private_key_jwt", PrivateKeyJwt(addresses, at, self._use_assertion))

    def token(self, request: FormRequest) -> Answer:
        """The answer of the token endpoint."""
        if not request.form.get("grant_type"):
            missing = InvalidRequestError(description="grant_type is missing")
            refusal: Answer = self.handle_error_response(request, missing)
            return refusal
        answer: Answer = self.create_token_response(request)
        return answer

    def revocation(self, request: FormRequest) -> Answer:
        """The answer of the revocation endpoint."""
        answer: Answer = self.create_endpoint_response(Revocations.ENDPOINT_NAME, request)
        return answer

    def introspection(self, request: FormRequest) -> Answer:
        """The answer of the introspection endpoint."""
        answer: Answer = self.create_endpoint_response(Introspections.ENDPOINT_NAME, request)
        return answer

    def query_client(self, client_id: str) -> KnownClient:
        """The client, or one that cannot succeed; every method asks here before it compares anything."""
        if not is_plain(client_id):
            raise InvalidClientError(status_code=401, description="no client id looks like this")
        self._claimed = client_id
        return KnownClient(client_id, credentials_of(self._connection, client_id, self._at))

    def authenticate_client(
        self, request: FormRequest, methods: list[str], endpoint: str = "token"
    ) -> KnownClient:
        """The client that proved itself in exactly one way; a failure counts and is answered with 401.

        Too many are answered with 429. A good proof passes all the same, or else whoever shares a client's
        address could keep it out: a secret of 256 bits is not guessed, however often somebody tries.
        """
        _require_one_mechanism(request)
        try:
            client: KnownClient = super().authenticate_client(request, methods, endpoint)
            if request.form.get("client_id", client.client_id) != client.client_id:
                raise InvalidClientError(description="client_id is not the client that authenticated")
        except InvalidClientError as failure:
            wait_seconds = self._attempts.wait_seconds(self._claimed, self._address)
            if wait_seconds > 0:
                raise TooManyFailures(wait_seconds) from None
            self._attempts.failed(self._claimed, self._address)
            raise _unauthenticated(failure, request) from None
        return client

    def find_token(self, token: str) -> IssuedToken | None:
        """The token if it is genuine and has not expired, with whether it was revoked."""
        try:
            claims = self._reader.read(token, self._at.timestamp())
        except InvalidToken:
            return None
        revoked = is_revoked(self._connection, claims.client_id, claims.jti, self._at)
        return IssuedToken(claims, has_been_revoked=revoked)

    def revoke(self, claims: AccessToken) -> None:
        """Write the revocation; it outlives the token by a minute of clock skew.

        Raises `TooManyRevocations`: every process has all of them in memory.
        """
        full = full_until(self._connection, claims.client_id, self._at)
        if full is not None:
            raise TooManyRevocations((full - self._at).total_seconds())
        until = datetime.fromtimestamp(claims.exp, UTC) + CLOCK_SKEW
        revocation = Revocation(client_id=claims.client_id, jti=claims.jti, expires_at=until)
        insert_revocation(self._connection, revocation, self._at)

    def create_oauth2_request(self, request: FormRequest) -> FormRequest:
        """It already is one."""
        return request

    def handle_response(self, status: int, body: Mapping[str, Any], headers: list[tuple[str, str]]) -> Answer:
        """The answer as data; HTTP is the routes' business."""
        return Answer(status=status, body=body, headers=headers)

    def save_token(self, token: object, request: FormRequest) -> None:
        """Access tokens carry what they are; none is stored."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens to Authlib's signals."""

    def _use_assertion(self, client_id: str, jti: str, until: datetime) -> bool:
        return use_assertion(self._connection, client_id, jti, until)


def _require_one_mechanism(request: FormRequest) -> None:
    has_header = "Authorization" in request.headers
    has_assertion = "client_assertion" in request.form or "client_assertion_type" in request.form
    if has_header and has_assertion:
        raise InvalidRequestError(description="one way of authenticating at a time")


def _unauthenticated(failure: InvalidClientError, request: FormRequest) -> InvalidClientError:
    """401 for every failure; why is only said of assertions, which leave nothing to guess."""
    is_assertion = "client_assertion" in request.form
    why = failure.description if is_assertion else "client authentication failed"
    return InvalidClientError(status_code=401, description=why)
