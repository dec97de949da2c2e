"""Deciding recoveries without a database: whatever becomes available pays what the member owes."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.accounts import AVAILABLE, CLAWBACK_DUE
from ledger.journal import Journal

from .builders import (
    MEMBER,
    START,
    A,
    B,
    C,
    D,
    a_burn,
    a_capture,
    a_receipt,
    a_return,
    an_authorization,
    an_earn,
)
from .memory import (
    DAY,
    MemoryLedger,
    a_ledger,
    accepted,
    figures,
    go_to,
    last,
    line_of,
    lots_of,
    submit,
)

RECEIPT = a_receipt()


def a_debtor(*owed: int) -> tuple[MemoryLedger, list[int]]:
    """A member who spent what came back, and owes A so much and B so much; the returns that say so."""
    ledger = a_ledger()
    earns = [
        (partner, accepted(ledger, an_earn(points, partner=partner, obligor=partner + 20)).operation)
        for partner, points in zip((A, B), owed, strict=False)
    ]
    submit(ledger, a_burn(sum(owed), partner=D))
    return ledger, [accepted(ledger, a_return(earn, partner=partner)).operation for partner, earn in earns]


def test_whatever_becomes_available_pays_the_oldest_debt_first() -> None:
    ledger, (older, newer) = a_debtor(40, 30)

    outcome = accepted(ledger, an_earn(60, partner=C, obligor=9, tariff=5))

    lot = lots_of(ledger)[-1]
    assert outcome.balance.clawback_due == 70
    assert last(ledger) == Journal(
        kind="recover",
        points=60,
        lines=(
            line_of(lot, AVAILABLE, CLAWBACK_DUE, 40, redeemer=A + 20),
            line_of(lot, AVAILABLE, CLAWBACK_DUE, 20, redeemer=B + 20),
        ),
        recovers=((older, 40), (newer, 20)),
    )
    submit(ledger, an_earn(50, partner=C))
    assert last(ledger).recovers == ((newer, 10),)
    balance = ledger.wallets[MEMBER].balance()
    assert (balance.available, balance.clawback_due) == (40, 0)
    submit(ledger, an_earn(1))
    assert last(ledger).kind == "earn"


def test_a_release_pays_at_its_own_instant_and_the_lots_soonest_to_expire_pay_first() -> None:
    ledger, (debt,) = a_debtor(40)
    later: dict[str, Any] = {"partner": C, "available_at": START + DAY}
    submit(ledger, an_earn(30, **later), an_earn(25, expires_at=START + 9 * DAY, **later))
    go_to(ledger, 3)

    long, short = lots_of(ledger)[1:]
    assert last(ledger) == Journal(
        kind="recover",
        points=40,
        lines=(
            line_of(short, AVAILABLE, CLAWBACK_DUE, 25, redeemer=A + 20),
            line_of(long, AVAILABLE, CLAWBACK_DUE, 15, redeemer=A + 20),
        ),
        occurred_at=START + DAY,
        recovers=((debt, 40),),
    )


def test_of_lots_that_expire_together_the_first_earned_pays_first_whichever_was_filled_first() -> None:
    """A burn came back, the last lot it took from first; 10 are owed, of which the older lot pays 8."""
    ledger = a_ledger(an_earn(8, partner=C), an_earn(8, partner=C))
    earn = accepted(ledger, an_earn(10, expires_at=START + DAY)).operation
    burn = accepted(ledger, a_burn(26)).operation
    debt = accepted(ledger, a_return(earn)).operation

    submit(ledger, a_return(burn, (0, 616), partner=B))

    first, second, _ = lots_of(ledger)
    assert last(ledger).lines == (
        line_of(first, AVAILABLE, CLAWBACK_DUE, 8, redeemer=A),
        line_of(second, AVAILABLE, CLAWBACK_DUE, 2, redeemer=A),
    )
    assert last(ledger).recovers == ((debt, 10),)


def test_only_what_comes_in_pays_and_not_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """30 come back to a lot in two lines, and 70 were there all the time: 30 of 50 are paid."""
    # Older versions let a hold and a burn have one receipt, and what they took can come back for years.
    monkeypatch.setattr("ledger.keys._CLAIMED_AS", {})
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(50)).operation
    submit(ledger, a_burn(50), an_earn(100, partner=C))
    hold = accepted(ledger, an_authorization(20, partner=A, receipt=RECEIPT)).hold or 0
    submit(ledger, a_capture(hold, partner=A), a_burn(10, partner=A, receipt=RECEIPT), a_return(earn))

    submit(ledger, a_return(hold))

    _, lot = lots_of(ledger)
    assert last(ledger).lines == (line_of(lot, AVAILABLE, CLAWBACK_DUE, 30, redeemer=A),)
    assert ledger.wallets[MEMBER].balance().shown == 70 - 20


def test_what_a_return_takes_again_of_what_it_restored_pays_nothing() -> None:
    """40 come back to a lot of A and 25 of them go for the earn, so 15 are left to pay B's 20."""
    ledger = a_ledger()
    owed = accepted(ledger, an_earn(20, partner=B)).operation
    submit(ledger, a_burn(20, partner=D), an_earn(40, partner=A))
    submit(ledger, a_burn(40, partner=A, receipt=RECEIPT))
    purchase = accepted(ledger, an_earn(25, partner=A, receipt=RECEIPT)).operation
    submit(ledger, a_burn(25, partner=D))
    debt = accepted(ledger, a_return(owed, partner=B)).operation

    outcome = accepted(ledger, a_return(purchase))

    assert figures(outcome) == (40, 0, 25, 0)
    assert last(ledger).recovers == ((debt, 15),)
    balance = ledger.wallets[MEMBER].balance()
    assert (balance.available, balance.clawback_due) == (0, 5)
