"""What an operation may claim once in its bucket: its key, its receipt, its member token.

All three are fingerprints in one table, found by one probe each and inserted under the lock of
the bucket's head, so neither a race nor `ON CONFLICT` is possible.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from .commands import Command
from .decide import kind_of


class Keys(msgspec.Struct, frozen=True, gc=False):
    """The fingerprints a command claims in its bucket: its key, its receipt, its member token.

    `all` are those that it has.
    """

    own: bytes
    receipt: bytes
    token: bytes
    all: tuple[bytes, ...]

    @classmethod
    def of(cls, command: Command) -> Keys:
        """The 16-byte fingerprints; empty where the command has no such thing."""
        receipt = getattr(command, "receipt", None)
        token: bytes = getattr(command, "token", b"")
        own = cls.fingerprint(command.principal, command.key)
        of_receipt = of_token = b""
        if receipt is not None:
            of_receipt = cls.of_receipt(
                command.partner, receipt.outlet, kind_of(command), receipt.terminal, receipt.number
            )
        if token:
            of_token = _fingerprint(b"token", token.hex(), "")
        return cls(own, of_receipt, of_token, tuple(filter(None, (own, of_receipt, of_token))))

    @staticmethod
    def of_receipt(partner: int, outlet: int, kind: str, terminal: str, number: str) -> bytes:
        """What stands for a receipt under which one operation of `kind` is posted."""
        return _fingerprint(b"receipt", f"{partner} {outlet} {kind}", f"{terminal}\0{number}")

    @staticmethod
    def fingerprint(principal: str, key: str) -> bytes:
        """What stands for a principal's idempotency key."""
        return _fingerprint(b"key", principal, key)


def _fingerprint(kind: bytes, owner: str, name: str) -> bytes:
    return blake2b(f"{owner}\0{name}".encode(), digest_size=16, person=kind).digest()
