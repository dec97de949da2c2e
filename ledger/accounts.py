"""The chart of accounts: what a line may debit and credit, and which flow that makes.

An account is a kind and an owner. The owner of a member's accounts is the member id, of
`issued`, `opening`, `expired` and `cancelled` the obligor, of `redeemed` and `settle` the partner, of
`in_transit` the operation that sent the points off, of `adjust` the reason.
A member's accounts are what is owed to the member: a credit raises them. `clawback_due` is
what the member owes: a debit raises it.
"""

from __future__ import annotations

from typing import Final

ISSUED: Final = 1
PENDING: Final = 2
AVAILABLE: Final = 3
HELD: Final = 4
CLAWBACK_DUE: Final = 5
REDEEMED: Final = 6
EXPIRED: Final = 7
CANCELLED: Final = 8
ADJUST: Final = 9
IN_TRANSIT: Final = 10
OPENING: Final = 11

SETTLE: Final = 20
RESERVE: Final = 21
MEMO_OUTSTANDING: Final = 22
MEMO_CLAIM: Final = 23
INCOME_FEE: Final = 24
INCOME_MARGIN: Final = 25
INCOME_BREAKAGE: Final = 26
INCOME_FX: Final = 27
VAT: Final = 28
OPEX_CAMPAIGN: Final = 29
BANK: Final = 30
MONEY_IN_TRANSIT: Final = 31
SUSPENSE: Final = 32
BAD_DEBT: Final = 33
MONEY_OPENING: Final = 34

NAMES: Final = {
    ISSUED: "issued",
    PENDING: "pending",
    AVAILABLE: "available",
    HELD: "held",
    CLAWBACK_DUE: "clawback_due",
    REDEEMED: "redeemed",
    EXPIRED: "expired",
    CANCELLED: "cancelled",
    ADJUST: "adjust",
    IN_TRANSIT: "in_transit",
    OPENING: "opening",
    SETTLE: "settle",
    RESERVE: "reserve",
    MEMO_OUTSTANDING: "memo/outstanding",
    MEMO_CLAIM: "memo/claim",
    INCOME_FEE: "income/fee",
    INCOME_MARGIN: "income/margin",
    INCOME_BREAKAGE: "income/breakage",
    INCOME_FX: "income/fx",
    VAT: "vat",
    OPEX_CAMPAIGN: "opex/campaign",
    BANK: "bank",
    MONEY_IN_TRANSIT: "money/in_transit",
    SUSPENSE: "suspense",
    BAD_DEBT: "bad_debt",
    MONEY_OPENING: "money/opening",
}

POINTS_KINDS: Final = OPENING + 1
"""Account kinds below this number count points; those above count money."""

POINTS: Final = "PTS"
"""The unit of a points line; a money line has its currency."""

FORFEITED: Final = (EXPIRED, ADJUST)
"""Where points go that leave a lot without having been of use to the member."""

FLOW_OF: Final = {
    (ISSUED, PENDING): "earn_pending",
    (OPENING, PENDING): "opening_pending",
    (OPENING, AVAILABLE): "opening",
    (PENDING, CANCELLED): "cancel_pending",
    (PENDING, AVAILABLE): "release",
    (ISSUED, AVAILABLE): "release",
    (HELD, REDEEMED): "burn",
    (AVAILABLE, REDEEMED): "burn",
    (REDEEMED, AVAILABLE): "burn_return",
    (AVAILABLE, CANCELLED): "claw_back",
    (AVAILABLE, CLAWBACK_DUE): "recover",
    (AVAILABLE, EXPIRED): "expire",
    (AVAILABLE, IN_TRANSIT): "transfer_out",
    (IN_TRANSIT, AVAILABLE): "transfer_in",
    (IN_TRANSIT, ISSUED): "novate_out",
    (ISSUED, IN_TRANSIT): "novate_in",
    (ADJUST, AVAILABLE): "adjust",
    (AVAILABLE, ADJUST): "adjust_down",
}
"""(debit, credit) → the operation of the flow. A pair that is not here moves no flow.

A claw-back that the member owes (clawback_due → cancelled) is none: the points are still out
there, spent or in lots of others. They leave, and money moves, when they are recovered.
"""

FLOW_CODES: Final = {
    "earn_pending": 1,
    "cancel_pending": 2,
    "release": 3,
    "burn": 4,
    "burn_return": 5,
    "claw_back": 6,
    "recover": 7,
    "expire": 8,
    "adjust": 9,
    "novate_in": 10,
    "novate_out": 11,
    "transfer_out": 12,
    "transfer_in": 13,
    "opening_pending": 14,
    "opening": 15,
    "adjust_down": 16,
}
"""Operations of flows as blocks write them, for ever; the table `flow_kinds` holds the same."""

REDEEMED_SIGN: Final = {"burn": 1, "burn_return": -1}
"""How a flow changes the points that a partner redeemed."""

STOCK_SIGN: Final = {
    "release": 1,
    "opening": 1,
    "burn": -1,
    "burn_return": 1,
    "claw_back": -1,
    "recover": -1,
    "expire": -1,
    "transfer_out": -1,
    "transfer_in": 1,
    "novate_out": -1,
    "novate_in": 1,
    "adjust": 1,
    "adjust_down": -1,
}
"""How a flow changes a bucket's points outstanding (available + held). Pending points are not yet owed.

Points in transit are owed too, and in no bucket: they are what went out and has not come in.
"""

MOVES: Final = {pair: (FLOW_CODES[flow], STOCK_SIGN.get(flow, 0)) for pair, flow in FLOW_OF.items()}
"""(debit, credit) → the code of the flow, and how it changes the points outstanding (−1, 0, 1)."""

FLOW_IN_SQL: Final = "CASE {} END".format(
    " ".join(
        f"WHEN debit = {debit} AND credit = {credit} THEN '{flow}'"
        for (debit, credit), flow in FLOW_OF.items()
    )
)
"""The operation of the flow that a row with `debit` and `credit` moves, null where it moves none."""

STOCK_SIGN_IN_SQL: Final = "CASE operation {} ELSE 0 END".format(
    " ".join(f"WHEN '{flow}' THEN {sign}" for flow, sign in STOCK_SIGN.items())
)
"""How a row whose `operation` is that of a flow changes the points outstanding (−1, 0, 1)."""
