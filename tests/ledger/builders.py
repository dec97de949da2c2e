"""Commands for tests: say only what matters."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from ledger import (
    Adjust,
    ArmExpiry,
    Authorize,
    Burn,
    Capture,
    Counter,
    Donate,
    Earn,
    Freeze,
    Grant,
    Item,
    LineReturned,
    Merge,
    Novate,
    Open,
    OpeningLot,
    ReceiptKey,
    ReturnPurchase,
    Reverse,
    Transfer,
    Unfreeze,
    Void,
    windows,
)
from ledger.kernel.ids import compose

START = datetime(2026, 1, 1, tzinfo=UTC)
FAR = datetime(2027, 1, 1, tzinfo=UTC)
MEMBER = compose(7, 1)
A, B, C, D = 1, 2, 3, 4

_numbers = itertools.count(1)


def _common(key: str | None, given: dict[str, Any]) -> dict[str, Any]:
    partner = given.pop("partner", A)
    return {
        "principal": f"partner:{partner}",
        "key": key or f"key-{next(_numbers)}",
        "digest": sha256(repr(sorted(given.items())).encode()).digest(),
        "member": MEMBER,
        "occurred_at": START,
        "partner": partner,
        "terms": 10 + partner,
        **given,
    }


def an_earn(points: int = 100, *, key: str | None = None, **given: Any) -> Earn:
    """An earn at A for MEMBER, available at once, expiring in a year."""
    partner = given.get("partner", A)
    defaults = {"points": points, "obligor": partner, "tariff": partner, "expires_at": FAR}
    return Earn(**_common(key, {**defaults, **given}))


def an_opening(*lots: OpeningLot, key: str | None = None, **given: Any) -> Open:
    """The opening balance of MEMBER: a hundred points of A unless `lots` are named."""
    return Open(**_common(key, {"partner": 0, "lots": lots or (an_opening_lot(),), **given}))


def an_opening_lot(points: int = 100, **given: Any) -> OpeningLot:
    """Points of A that were earned a quarter of a year ago and expire in a year."""
    partner = given.pop("partner", A)
    defaults = {"issuer": partner, "obligor": partner, "tariff": partner, "expires_at": FAR}
    return OpeningLot(**{"points": points, "earned_at": START - timedelta(days=90), **defaults, **given})


def a_burn(points: int = 10, *, key: str | None = None, **given: Any) -> Burn:
    """A burn at B."""
    return Burn(**_common(key, {"partner": B, "points": points, **given}))


def an_authorization(points: int = 10, *, key: str | None = None, **given: Any) -> Authorize:
    """A hold for B until the second of January."""
    defaults = {"partner": B, "points": points, "expires_at": datetime(2026, 1, 2, tzinfo=UTC)}
    return Authorize(**_common(key, {**defaults, **given}))


def a_capture(hold: int, points: int | None = None, *, key: str | None = None, **given: Any) -> Capture:
    """A capture of B's hold."""
    return Capture(**_common(key, {"partner": B, "member": 0, "hold": hold, "points": points, **given}))


def a_void(hold: int, *, key: str | None = None, **given: Any) -> Void:
    """A void of B's hold."""
    return Void(**_common(key, {"partner": B, "member": 0, "hold": hold, **given}))


def a_transfer(points: int = 10, *, to_member: int, key: str | None = None, **given: Any) -> Transfer:
    """The first leg from MEMBER to another."""
    return Transfer(**_common(key, {"partner": 0, "points": points, "to_member": to_member, **given}))


def a_merge(survivor: int, *, key: str | None = None, **given: Any) -> Merge:
    """MEMBER merged into another."""
    return Merge(**_common(key, {"partner": 0, "survivor": survivor, **given}))


def an_arming(*, until: datetime, notice_days: int, key: str | None = None, **given: Any) -> ArmExpiry:
    """A notice given to MEMBER of everything that expires before `until`."""
    return ArmExpiry(**_common(key, {"partner": 0, "until": until, "notice_days": notice_days, **given}))


def a_novation(leaver: int, successor: int, *, key: str | None = None, **given: Any) -> Novate:
    """MEMBER's points of one obligor become another's: those of its one tariff."""
    obligors = {"leaver": leaver, "successor": successor, "tariff": leaver}
    return Novate(**_common(key, {"partner": successor, **obligors, **given}))


def a_return(operation: int, *lines: tuple[int, int], key: str | None = None, **given: Any) -> ReturnPurchase:
    """Lines, (number, thousandths), of a purchase at A come back; all that is left when there are none."""
    asked = tuple(LineReturned(line=line, quantity_milli=milli) for line, milli in lines)
    return ReturnPurchase(**_common(key, {"operation": operation, "lines": asked, **given}))


def a_reversal(operation: int, *, key: str | None = None, **given: Any) -> Reverse:
    """An operation of A undone whole."""
    return Reverse(**_common(key, {"operation": operation, **given}))


def an_item(line: int = 0, *, pieces: int = 1, price: int = 0, **given: Any) -> Item:
    """A line of whole pieces; `price` in micro-units for all of them."""
    return Item(line=line, quantity_milli=pieces * 1_000, money_micro=price, **given)


def a_receipt(number: str = "1") -> ReceiptKey:
    """A receipt of terminal 1, in the outlet of commands that name none."""
    return ReceiptKey(outlet=0, terminal="1", number=number)


def a_freeze(*, key: str | None = None, **given: Any) -> Freeze:
    """The operator freezes MEMBER."""
    return Freeze(**_common(key, {"partner": 0, "terms": 0, **given}))


def an_unfreeze(*, key: str | None = None, **given: Any) -> Unfreeze:
    """The operator lets MEMBER go on."""
    return Unfreeze(**_common(key, {"partner": 0, "terms": 0, **given}))


def an_adjustment(points: int, *, key: str | None = None, **given: Any) -> Adjust:
    """Points given to MEMBER, or taken, at A's cost and under A's tariff."""
    obligor = given.pop("obligor", A)
    defaults = {"partner": obligor, "points": points, "obligor": obligor, "tariff": obligor, "reason": 1}
    return Adjust(**_common(key, {**defaults, "expires_at": FAR, **given}))


def a_grant(points: int = 100, *, key: str | None = None, **given: Any) -> Grant:
    """A grant to MEMBER that the operator pays for, shown as given by A."""
    defaults = {"points": points, "obligor": 0, "tariff": 9, "expires_at": FAR}
    return Grant(**_common(key, {**defaults, **given}))


def a_donation(points: int = 10, *, key: str | None = None, **given: Any) -> Donate:
    """A donation to the charity D."""
    return Donate(**_common(key, {"partner": D, "points": points, **given}))


def a_counter(increment: int, ceiling: int | None = None, **given: Any) -> Counter:
    """A counter of MEMBER's day."""
    defaults: dict[str, Any] = {"name": "points", "window": windows.DAY}
    return Counter(**{**defaults, "increment": increment, "ceiling": ceiling, **given})
