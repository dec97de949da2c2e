"""PostgreSQL 18 and Valkey of our own, run from wheels on loopback under an unprivileged account."""

from .folder import DataFolder
from .servers import Addresses, Servers

__all__ = ["Addresses", "DataFolder", "Servers"]
