"""What may be asked of the ledger. A command is validated intent, frozen, with no behaviour.

None of these values can be part of a cycle, so the garbage collector is spared looking at them.

Every command names its principal and key (idempotency), its member (and so its bucket), when
it happened, and the partner, outlet and terms it happened under: numbers that mean nothing
to the ledger beyond being the dimensions of the lines it writes.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from .kernel.ids import TREASURY, bucket_of
from .kernel.refusals import Refusal
from .refusals import LimitExceeded
from .transits import Kind, Part, Transit

TRANSIT: Final = "transit"
"""The principal of legs that drivers post. Callers' principals have a colon, so it is nobody's."""

_encode: Final = msgspec.msgpack.Encoder().encode


class Refused(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """A refusal as data: what is stored and answered. `limit` names the counter that said no, if one did."""

    code: str
    message: str
    field: tuple[str, ...] = ()
    retryable: bool = False
    limit: str = ""

    @classmethod
    def of(cls, refusal: Refusal) -> Refused:
        """The data of a raised refusal."""
        return cls(
            code=refusal.code,
            message=refusal.message,
            field=refusal.field,
            retryable=refusal.retryable,
            limit=refusal.limit if isinstance(refusal, LimitExceeded) else "",
        )


class Item(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """One line of a receipt in numbers, kept so that a later return can be decided.

    `money_micro` is its price, `money_off_micro` the part of it that the points burned paid.
    """

    line: int
    quantity_milli: int
    money_micro: int
    points_earned: int = 0
    points_burned: int = 0
    money_off_micro: int = 0


class ReceiptKey(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The natural key of a receipt: it is posted once per kind in a bucket, whatever the idempotency key.

    A hold and a burn are one kind: points pay for a receipt once. The partner is the command's own,
    and so is the outlet.
    """

    outlet: int
    terminal: str
    number: str


class Counter(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """`increment` (≥ 0) to be counted under `name` in `window`, one of `ledger.windows`.

    A command that would take the counter past `ceiling` is refused; None has none. Which of
    `thresholds` it reaches stands in its outcome. The counter is the member's own, unless
    `is_shared`: then all members of all buckets share its ceiling, and thresholds are not told.
    """

    name: str
    window: str
    increment: int
    ceiling: int | None = None
    thresholds: tuple[int, ...] = ()
    is_shared: bool = False


class Command(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What all commands carry.

    `principal` owns `key`; `digest` (32 bytes) covers the canonical request before defaults.
    `detail` is stored under the operation's hash and given back unread. A command that a rule
    has already refused carries that in `refused`: its key is looked up first, and only a new
    key lets the refusal count. An accepted command moves its `counters`, a refused one never does.
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
    counters: tuple[Counter, ...] = ()

    @property
    def bucket(self) -> int:
        """The bucket whose lane decides this command."""
        return self.member >> 56  # `bucket_of`, asked for several times a command


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

    `member` may be 0: the hold names its own. It was made in one of `outlets`; None means anywhere.
    """

    hold: int
    points: int | None = None
    final: bool = False
    outlets: frozenset[int] | None = None

    @property
    def bucket(self) -> int:
        """The hold's own bucket."""
        return bucket_of(self.hold)


class Void(Command, frozen=True, gc=False, kw_only=True):
    """Give back what is left of a hold. `member` and `outlets` are those of a capture."""

    hold: int
    outlets: frozenset[int] | None = None

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


class Transfer(Command, frozen=True, gc=False, kw_only=True):
    """Send `points` (> 0) to another member, the soonest to expire first: the first of its legs.

    `token` (16 bytes) is the presented member token's fingerprint: it backs one transfer.
    """

    points: int
    to_member: int
    token: bytes = b""


class Merge(Command, frozen=True, gc=False, kw_only=True):
    """Give the member a survivor, who is from now on whoever names the member means.

    What the member has, and whatever comes back to it later, sets off to the survivor.
    """

    survivor: int


class Arrive(Command, frozen=True, gc=False, kw_only=True):
    """The second leg: `parts` that an operation of another bucket sent off are the member's now."""

    transfer: int
    sort: Kind
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, transit: Transit) -> Arrive:
        """The leg that `transit` waits for, under the one key that it has whoever sends it."""
        # `origin` is not among what is digested: legs may have been posted before it was noted.
        parts = [msgspec.structs.astuple(part)[:-1] for part in transit.parts]
        digest = sha256(_encode(parts)).digest()
        return cls(
            principal=TRANSIT,
            key=f"{transit.id}:in",
            digest=digest,
            member=transit.to_member,
            occurred_at=transit.opened_at,
            partner=0,
            transfer=transit.id,
            sort=transit.kind,
            parts=transit.parts,
        )


class Conclude(Command, frozen=True, gc=False, kw_only=True):
    """The last leg, where the first one was: note that the points arrived, or take them back.

    `refusal` is the code of what refused them, empty when they arrived.
    """

    transfer: int
    refusal: str = ""

    @classmethod
    def of(cls, transit: Transit, *, refusal: str = "") -> Conclude:
        """The end of `transit`, under its one key: a refused leg never arrives, and the other way round."""
        return cls(
            principal=TRANSIT,
            key=f"{transit.id}:end",
            digest=refusal.encode(),
            member=transit.member,
            occurred_at=transit.opened_at,
            partner=0,
            transfer=transit.id,
            refusal=refusal,
        )


class Novate(Command, frozen=True, gc=False, kw_only=True):
    """Let `successor` answer for every point of the member that `leaver` answers for under `tariff`."""

    leaver: int
    successor: int
    tariff: int


class ArmExpiry(Command, frozen=True, gc=False, kw_only=True):
    """Say that the member was told: unarmed lots that expire by `until` may expire from now on.

    A lot that is armed later than `notice_days` before its end expires that many days after now.
    `lots` narrows it to those lots; none means all.
    """

    until: datetime
    notice_days: int
    lots: tuple[int, ...] = ()


class LineReturned(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """`quantity_milli` (> 0) thousandths of a line of the original receipt that come back."""

    line: int
    quantity_milli: int


class ReturnPurchase(Command, frozen=True, gc=False, kw_only=True):
    """Take goods of a purchase back, and undo what points did for them.

    `operation` is any earn, burn, hold or capture of the original receipt; all of that receipt
    with the command's partner and member are its purchase. `lines` come back, all that is left
    when there are none. `refund_order` says whether money or points are given back first
    (`ledger.refunds`), `minor_micro` what the smallest payable amount of money is.
    `receipt` is the return's own.
    """

    operation: int
    lines: tuple[LineReturned, ...] = ()
    refund_order: str = "money_first"
    minor_micro: int = 1
    receipt: ReceiptKey | None = None


class Reverse(Command, frozen=True, gc=False, kw_only=True):
    """Undo an operation that was posted by mistake, whole: an earn, a burn, a hold, its one capture."""

    operation: int


class Donate(Command, frozen=True, gc=False, kw_only=True):
    """Give `points` (> 0) of a member to the command's partner, a charity: settled as a burn there."""

    points: int


class Grant(Command, frozen=True, gc=False, kw_only=True):
    """Give `points` (> 0) that `obligor` pays for, shown as given by the command's partner.

    Available at once under `tariff`, one of the obligor's, until `expires_at`.
    """

    points: int
    obligor: int
    tariff: int
    expires_at: datetime


class Adjust(Command, frozen=True, gc=False, kw_only=True):
    """Correct by hand: give `points`, or take them when negative, at the cost or for the good of `obligor`.

    What is given is a lot of `obligor` under `tariff` that expires at `expires_at`. What is taken
    comes from lots of `obligor`, of any tariff when that is 0, and never makes a debt. `reason`
    is a number that means nothing here: it owns the adjustment's account.
    """

    points: int
    obligor: int
    tariff: int
    reason: int
    expires_at: datetime


class Freeze(Command, frozen=True, gc=False, kw_only=True):
    """Let a member neither earn nor spend. Holds made before may be captured and time goes on."""


class Unfreeze(Command, frozen=True, gc=False, kw_only=True):
    """Let a frozen member earn and spend again."""


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
    """A journal of money, in the treasury's bucket: `lines` in one currency, all or none.

    Without lines it keeps its `detail` alone, under the treasury's hash.
    """

    currency: str
    lines: tuple[MoneyLine, ...]

    @property
    def bucket(self) -> int:
        """The treasury's."""
        return TREASURY
