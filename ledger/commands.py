"""What may be asked of the ledger. A command is validated intent, frozen, with no behaviour.

None of these values can be part of a cycle, so the garbage collector is spared looking at them.

Every command names its principal and key (idempotency), its member (and so its bucket), when
it happened, and the partner, outlet and terms it happened under: numbers that mean nothing
to the ledger beyond being the dimensions of the lines it writes.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from .kernel.ids import TREASURY, bucket_of
from .kernel.refusals import Refusal


class Refused(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """A refusal as data: what is stored and answered."""

    code: str
    message: str
    field: tuple[str, ...] = ()
    retryable: bool = False

    @classmethod
    def of(cls, refusal: Refusal) -> Refused:
        """The data of a raised refusal."""
        return cls(
            code=refusal.code, message=refusal.message, field=refusal.field, retryable=refusal.retryable
        )


class Item(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """One line of a receipt in numbers, kept so that a later return can be decided."""

    line: int
    quantity_milli: int
    money_micro: int
    points_earned: int = 0
    points_burned: int = 0


class ReceiptKey(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The natural key of a receipt: it is posted once per kind, whatever the idempotency key.

    The partner is the command's own.
    """

    outlet: int
    terminal: str
    number: str


class Command(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What all commands carry.

    `principal` owns `key`; `digest` (32 bytes) covers the canonical request before defaults.
    `detail` is stored under the operation's hash and given back unread. A command that a rule
    has already refused carries that in `refused`: its key is looked up first, and only a new
    key lets the refusal count.
    """

    principal: str
    key: str
    digest: bytes
    member: int
    occurred_at: datetime
    partner: int
    outlet: int = 0
    terms: int = 0
    detail: bytes = b""
    refused: Refused | None = None

    @property
    def bucket(self) -> int:
        """The bucket whose lane decides this command."""
        return bucket_of(self.member)


class Earn(Command, frozen=True, gc=False, kw_only=True):
    """Give `points` (≥ 0) that `obligor` pays for under `tariff`.

    Pending until `available_at`, or available at once when that is None. They expire at
    `expires_at`. The command's partner is the issuer. 0 points write no line.
    """

    points: int
    obligor: int
    tariff: int
    expires_at: datetime
    available_at: datetime | None = None
    receipt: ReceiptKey | None = None
    items: tuple[Item, ...] = ()


class OpeningLot(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Points (> 0) that a member brings along, as the programme they come from had them.

    Pending until `available_at`, or available already when that is None.
    """

    points: int
    issuer: int
    obligor: int
    tariff: int
    earned_at: datetime
    expires_at: datetime
    available_at: datetime | None = None


class Open(Command, frozen=True, gc=False, kw_only=True):
    """Open a member's balance with the `lots` (1 to 1,000) of an existing programme, all or none."""

    lots: tuple[OpeningLot, ...]


class Authorize(Command, frozen=True, gc=False, kw_only=True):
    """Hold `points` (> 0) for the command's partner until `expires_at`.

    `token` (16 bytes) is the presented member token's fingerprint: it backs one burn.
    """

    points: int
    expires_at: datetime
    token: bytes = b""
    receipt: ReceiptKey | None = None
    items: tuple[Item, ...] = ()


class Capture(Command, frozen=True, gc=False, kw_only=True):
    """Redeem `points` (> 0) of a hold, or all that is left when None; `final` voids the rest.

    `member` may be 0: the hold names its own.
    """

    hold: int
    points: int | None = None
    final: bool = False

    @property
    def bucket(self) -> int:
        """The hold's own bucket."""
        return bucket_of(self.hold)


class Void(Command, frozen=True, gc=False, kw_only=True):
    """Give back what is left of a hold. `member` may be 0: the hold names its own."""

    hold: int

    @property
    def bucket(self) -> int:
        """The hold's own bucket."""
        return bucket_of(self.hold)


class Burn(Command, frozen=True, gc=False, kw_only=True):
    """Authorise and capture in one: redeem `points` (> 0) at the command's partner."""

    points: int
    token: bytes = b""
    receipt: ReceiptKey | None = None
    items: tuple[Item, ...] = ()


class Settle(Command, frozen=True, gc=False, kw_only=True):
    """Apply what is due on a wallet that nobody touched. Sent by the sweep; it has no key."""

    @classmethod
    def of(cls, member: int, at: datetime) -> Settle:
        """The sweep's command for `member`."""
        return cls(principal="", key="", digest=b"", member=member, occurred_at=at, partner=0)


class PassFence(Command, frozen=True, gc=False, kw_only=True):
    """Take an idle bucket past the ends of periods that are over. It has no key."""

    idle: int

    @property
    def bucket(self) -> int:
        """The idle bucket."""
        return self.idle

    @classmethod
    def of(cls, bucket: int, at: datetime) -> PassFence:
        """The closing's command for `bucket`."""
        return cls(principal="", key="", digest=b"", member=0, occurred_at=at, partner=0, idle=bucket)


class MoneyLine(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """`micro` (> 0) micro-units from one money account to another, with what they are for.

    Accounts are kinds of `ledger.accounts` with their owners: the partner of `settle`, the
    obligor of `reserve`, an account number of `bank`; 0 where there is one for all.
    """

    debit: int
    debit_owner: int = 0
    credit: int
    credit_owner: int = 0
    micro: int
    issuer: int = 0
    obligor: int = 0
    redeemer: int = 0
    tariff: int = 0
    terms: int = 0
    origin_period: int = 0


class PostMoney(Command, frozen=True, gc=False, kw_only=True):
    """A journal of money, in the treasury's bucket: `lines` in one currency, all or none."""

    currency: str
    lines: tuple[MoneyLine, ...]

    @property
    def bucket(self) -> int:
        """The treasury's."""
        return TREASURY
