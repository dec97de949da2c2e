"""The authorization server: client credentials in, signed access tokens out, on Authlib."""

from .addresses import Addresses
from .keys import KeyRing, KeySealer
from .routes import routes
from .server import AuthorizationServer
from .upkeep import Upkeep
from .verifier import Verifier

__all__ = ["Addresses", "AuthorizationServer", "KeyRing", "KeySealer", "Upkeep", "Verifier", "routes"]
