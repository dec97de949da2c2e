"""Deciding without a database whatever comes in whatever order: what a wallet promises, it keeps.

The ledger in memory looks after each journal: available equals its lots, held its slices, what is owed
its debts, and stock by issuer, obligor, tariff and dates, made from lines alone, equals all of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import Outcome
from ledger.accounts import IN_TRANSIT
from ledger.commands import Command
from ledger.kernel.ids import compose
from ledger.purchases import PURCHASED

from .builders import (
    MEMBER,
    START,
    A,
    B,
    a_burn,
    a_capture,
    a_freeze,
    a_grant,
    a_merge,
    a_receipt,
    a_return,
    a_reversal,
    a_transfer,
    a_void,
    an_adjustment,
    an_arming,
    an_authorization,
    an_earn,
    an_item,
    an_unfreeze,
)
from .memory import DAY, MemoryLedger, accepted, drive, go_to, submit
from .test_deciding_novation import a_novation

MEMBERS = (MEMBER, compose(40, 1), compose(50, 1))

Step = tuple[str, int, int, int]
"""What is asked, of whom, for whom else, and how much."""


def a_command(step: Step, posted: Sequence[Outcome], at: datetime) -> Command:
    """One command of a kind; what is about the past is about one of those `posted`."""
    kind, member, other, points = step
    past = posted[points % len(posted)]
    about, whose = past.operation, compose(past.operation >> 56, 1)
    receipt, partner = a_receipt(str(points % 20)), (A, B)[points % 2]
    lines = {"pieces": 4, "price": 100}
    match kind:
        case "earn" | "pending":
            return an_earn(
                points,
                member=member,
                partner=partner,
                receipt=receipt,
                items=(an_item(**lines, points_earned=points),),
                available_at=at + 2 * DAY if kind == "pending" else None,
                expires_at=at + (points % 9 + 3) * DAY,
            )
        case "burn":
            items = (an_item(**lines, points_burned=points, money_off_micro=points),)
            return a_burn(points, member=member, partner=partner, receipt=receipt, items=items)
        case "hold":
            return an_authorization(
                points, member=member, partner=B, receipt=receipt, expires_at=at + 3 * DAY
            )
        case "capture":
            return a_capture(past.hold or 1, points // 4 + 1, final=bool(points % 3))
        case "void":
            return a_void(past.hold or 1)
        case "return":
            return a_return(about, (0, points * 50), member=whose, partner=partner)
        case "undo":
            return a_reversal(about, member=whose, partner=partner)
        case "send":
            return a_transfer(points, member=member, to_member=other, occurred_at=at)
        case "merge":
            return a_merge(other, member=member)
        case "novate":
            return a_novation(points % 3, leaver=partner, tariff=partner, member=member)
        case "tell":
            return an_arming(until=at + points * DAY, notice_days=points % 5, member=member)
        case "give":
            return a_grant(points, member=member, expires_at=at + points * DAY)
        case "correct":
            return an_adjustment(points - 20 or 1, member=member, tariff=0, expires_at=at + points * DAY)
        case "freeze":
            return a_freeze(member=member)
        case _:
            return an_unfreeze(member=member)


KINDS = (
    *("earn", "pending", "earn", "burn", "hold", "capture", "void", "return", "return", "undo"),
    *("send", "merge", "novate", "tell", "give", "correct", "freeze", "unfreeze", "wait", "drive"),
)

scripts = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from(MEMBERS), st.sampled_from(MEMBERS), st.integers(1, 40)),
    max_size=50,
)


@settings(max_examples=80, deadline=None, database=None, derandomize=True)
@given(scripts, st.booleans())
def test_what_is_on_its_way_left_and_has_not_arrived(script: Sequence[Step], has_notices: bool) -> None:
    """In transit is what open transits carry, and nothing is once they have been driven to their ends."""
    ledger, days = MemoryLedger(START, has_notices=has_notices), 0
    posted = [accepted(ledger, an_earn(30))]
    for step in script:
        kind, _, other, points = step
        if kind == "wait":
            days += points % 6
            go_to(ledger, days)
        elif kind == "drive":
            drive(ledger)
        elif kind != "merge" or not ledger.wallet(other).merged_into:  # nobody is merged into one who is gone
            (outcome,) = submit(ledger, a_command(step, posted, ledger.clock.now()))
            posted += [outcome] if outcome.kind in PURCHASED and outcome.refused is None else []
        on_their_way = sum(wallet.sums[IN_TRANSIT] for wallet in ledger.wallets.values())
        assert on_their_way == sum(transit.balance for transit in ledger.transits())
    drive(ledger)

    assert ledger.transits() == []
    assert sum(wallet.sums[IN_TRANSIT] for wallet in ledger.wallets.values()) == 0
    for wallet in ledger.wallets.values():
        if wallet.merged_into:
            assert (wallet.pending, wallet.available, wallet.clawback_due) == (0, 0, 0)
