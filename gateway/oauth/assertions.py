"""Clients that prove themselves with a signed assertion: `private_key_jwt` (RFC 7523).

Authlib knows the flow. Its decoding has no allow-list of algorithms, takes any one of several
audiences, any lifetime and any header; those four are decided here.
"""

# Authlib ships no types, so its classes are `Any` to the type checker.
# mypy: allow-subclassing-any

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

import msgspec
from authlib.oauth2.rfc6749 import InvalidClientError
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from joserfc import jws, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, GuestProtocol, OKPKey, RSAKey
from joserfc.jws import CompactSignature, JWSRegistry

from partners.clients import PublicKey

from .addresses import Addresses
from .compact import NotCompact, segment

ALGORITHMS: Final[Mapping[str, type[PublicKey]]] = {
    "ES256": ECKey,
    "RS256": RSAKey,
    "PS256": RSAKey,
    "EdDSA": OKPKey,
    "Ed25519": OKPKey,
}
"""Accepted algorithms, and the kind of key each needs. Ed25519 is the newer name of EdDSA (RFC 9864)."""

LONGEST_ASSERTION: Final = 8192
LONGEST_LIFE_SECONDS: Final = 300
LEEWAY_SECONDS: Final = 30
"""Clocks of clients may be off by this much."""


LONGEST_ID: Final = 255


class SigningClient(Protocol):
    """A client as assertions need it."""

    keys: list[PublicKey]


class AssertionHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that the header may hold: never a key, nor the address of one."""

    alg: Literal["ES256", "RS256", "PS256", "EdDSA", "Ed25519"]
    typ: Literal["JWT", "jwt", "client-authentication+jwt"] = "JWT"
    kid: str | None = None
    x5t: str | None = None
    x5t_s256: str | None = msgspec.field(name="x5t#S256", default=None)


class AssertionClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims that matter; instants are seconds since 1970."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: int | float
    jti: str
    iat: int | float = 0
    nbf: int | float = 0


class _AllowedAlgorithms(JWSRegistry):
    """Only the algorithms above; and no warning at the name EdDSA, which clients still send."""

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


_ALLOWED: Final = _AllowedAlgorithms(algorithms=list(ALGORITHMS))

DECOYS: Final[Mapping[type[PublicKey], PublicKey]] = {
    ECKey: ECKey.generate_key("P-256", private=False),
    OKPKey: OKPKey.generate_key("Ed25519", private=False),
    RSAKey: RSAKey.import_key({"kty": "RSA", "e": "AQAB", "n": "_" * 341 + "w"}),
}
"""Keys that nobody holds: an assertion of an unknown client is checked against one, at the usual cost."""


class PrivateKeyJwt(JWTBearerClientAssertion):
    """Authenticates the client of one request by its assertion."""

    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(
        self,
        addresses: Addresses,
        at: datetime,
        use: Callable[[str, str, datetime], bool],
    ) -> None:
        """`use(client id, jti, until)` says whether the assertion is used for the first time."""
        super().__init__(leeway=LEEWAY_SECONDS)
        self._audiences = {addresses.issuer, addresses.token}
        self._at = at
        self._use = use

    def extract_assertion(self, assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and claims, in shape and not yet to be trusted."""
        try:
            header = _header.decode(segment(assertion, 0, longest=LONGEST_ASSERTION))
            claims = _claims.decode(segment(assertion, 1, longest=LONGEST_ASSERTION))
        except (NotCompact, msgspec.MsgspecError, ValueError, RecursionError):
            raise InvalidClientError(description="the assertion cannot be read") from None
        return msgspec.to_builtins(header), msgspec.to_builtins(claims)

    def resolve_client_public_key(self, client: SigningClient) -> Callable[[GuestProtocol], PublicKey]:
        """The client's key that fits the assertion, or a decoy; without a kid, whichever made it."""

        def fitting(assertion: GuestProtocol) -> PublicKey:
            header = assertion.headers()
            algorithm, kid = header["alg"], header.get("kid")
            keys = [key for key in client.keys if _fits(key, algorithm) and kid in (None, key.kid)]
            if len(keys) > 1 and isinstance(assertion, CompactSignature):
                keys = [key for key in keys if jws.validate_compact(assertion, key, registry=_ALLOWED)]
            return keys[0] if keys else DECOYS[ALGORITHMS[algorithm]]

        return fitting

    def process_assertion_claims(
        self, assertion: str, resolve_key: Callable[[GuestProtocol], PublicKey]
    ) -> None:
        """Check the signature, then the claims, and use the assertion up."""
        try:
            genuine = jwt.decode(assertion, resolve_key, registry=_ALLOWED)
        except (JoseError, ValueError):
            raise InvalidClientError(description="no key of the client made this signature") from None
        self.verify_claims(genuine.claims)

    def verify_claims(self, claims: dict[str, Any]) -> None:
        """Check who, for whom, when and how often; `claims` are signed by their client."""
        it = msgspec.convert(claims, AssertionClaims)
        now = self._at.timestamp()
        if it.iss != it.sub:
            raise InvalidClientError(description="iss and sub must both be the client id")
        audiences = {it.aud} if isinstance(it.aud, str) else set(it.aud)
        if not audiences or not audiences <= self._audiences:
            raise InvalidClientError(description="aud must be the issuer or the token endpoint")
        if it.exp <= now - LEEWAY_SECONDS:
            raise InvalidClientError(description="the assertion has expired")
        if it.exp > now + LONGEST_LIFE_SECONDS + LEEWAY_SECONDS:
            raise InvalidClientError(description="exp must be at most five minutes ahead")
        if max(it.iat, it.nbf) > now + LEEWAY_SECONDS:
            raise InvalidClientError(description="the assertion is not valid yet")
        if not self.validate_jti(claims, it.jti):
            raise InvalidClientError(description="jti is missing, too long, or was used before")

    def validate_jti(self, claims: dict[str, Any], jti: str) -> bool:
        """Whether the assertion is used for the first time; from now on it is not."""
        until = self._at + timedelta(seconds=LONGEST_LIFE_SECONDS + 2 * LEEWAY_SECONDS)
        return is_plain(jti) and self._use(claims["sub"], jti, until)


def is_plain(text: str) -> bool:
    """Whether an id is 1 to 255 visible ASCII characters, as every id here is."""
    return 1 <= len(text) <= LONGEST_ID and text.isascii() and text.isprintable()


def _fits(key: PublicKey, algorithm: str) -> bool:
    return isinstance(key, ALGORITHMS[algorithm]) and key.alg in (None, algorithm)


_header = msgspec.json.Decoder(AssertionHeader)
_claims = msgspec.json.Decoder(AssertionClaims)
