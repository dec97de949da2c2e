"""Proof of money: the invariants of closed periods, in the shape of the ledger's own."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import accounts
from ledger.accounts import FLOW_IN_SQL, POINTS, RESERVE, SETTLE, STOCK_SIGN_IN_SQL
from ledger.kernel.ids import OPERATOR, TREASURY
from ledger.proof import Finding, Invariant, by_query, by_recount
from partners import Funding

from . import papers_proof, store
from .cells import digest
from .periods import Stage

_CELL: Final = "period, operation, issuer, obligor, redeemer, tariff, terms, origin_period"
_STOCK: Final = "period, issuer, obligor, tariff, issue_month, expiry_month"
_CELL_NAMED: Final = """
    format('period %s: %s of issuer %s, obligor %s, redeemer %s, tariff %s differs by %s',
           period, operation, issuer, obligor, redeemer, tariff, sum(points))
"""
_STAGES: Final = ", ".join(f"'{stage}'" for stage in Stage if stage is not Stage.OPEN)
_FROZEN: Final = "(SELECT period FROM period_stages WHERE stage = 'FROZEN')"
_POSTED: Final = "(SELECT max(period) FROM period_stages WHERE stage = 'RECONCILING')"
_NONE_IS_BEING_POSTED: Final = f"""
    NOT EXISTS (SELECT FROM period_stages WHERE stage = 'FROZEN' AND period > coalesce({_POSTED}, 0))
"""


async def _find_changed_cells(connection: AsyncConnection) -> list[Finding]:
    found = []
    for period, history in (await store.stages(connection)).items():
        frozen = next((row.hash for row in history if row.hash is not None), None)
        if frozen is None:
            continue
        cells, holdings = await store.cells(connection, period), await store.holdings(connection, period)
        if digest(period, cells, holdings) != frozen:
            found.append(Finding("cells_hash", None, f"period {period} is not what was frozen"))
    return found


INVARIANTS: Final = (
    by_query(
        "stages",
        "a period passed every stage in turn, none before the last, and has a sheet once it is proposed",
        f"""
        SELECT NULL::smallint, format('period %s: row %s is %s at %s, by %s', period, ordinal, stage,
                                      reached_at, reached_by)
        FROM (SELECT *, row_number() OVER passed AS place, lag(reached_at) OVER passed AS last_at
              FROM period_stages WINDOW passed AS (PARTITION BY period ORDER BY ordinal)) AS placed
        WHERE ordinal <> place OR reached_at < last_at
           OR stage IS DISTINCT FROM (ARRAY[{_STAGES}])[place]
        UNION ALL
        SELECT NULL, format('period %s: %s', period,
                            CASE WHEN s.period IS NULL THEN 'is proposed without a sheet'
                                 ELSE 'has a sheet and is not proposed' END)
        FROM sheets s
        FULL JOIN (SELECT period FROM period_stages WHERE stage = '{Stage.PROPOSED}') p USING (period)
        WHERE s.period IS NULL OR p.period IS NULL
        """,  # noqa: S608 - constants, here and below
        is_cheap=True,
    ),
    by_query(
        "sheets",
        "the sheet of a period sums to zero",
        """
        SELECT NULL::smallint, format('period %s: charges sum to %s, openings to %s, payables to %s', period,
                                      sum(charge_micro), sum(opening_micro), sum(payable_micro))
        FROM sheet_lines GROUP BY period
        HAVING sum(charge_micro) <> 0 OR sum(opening_micro) <> 0 OR sum(payable_micro) <> 0
        """,
        is_cheap=True,
    ),
    by_query(
        "obligations",
        "what a partner is charged is what it owes less what it is owed",
        """
        SELECT NULL::smallint,
               format('period %s, partner %s: differs by %s micro', period, partner, sum(micro))
        FROM (SELECT period, partner, charge_micro AS micro FROM sheet_lines
              UNION ALL SELECT period, debtor, -micro FROM obligations
              UNION ALL SELECT period, creditor, micro FROM obligations) AS both_ways
        GROUP BY period, partner HAVING sum(micro) <> 0
        """,
        is_cheap=True,
    ),
    by_query(
        "statements",
        "every partner of a sheet has a statement that charges the same",
        f"""
        SELECT NULL::smallint, format('period %s, partner %s: statement %s micro, sheet %s micro',
                                      period, partner, s.charge_micro, l.charge_micro)
        FROM statements s
        FULL JOIN (SELECT * FROM sheet_lines WHERE partner <> {OPERATOR}) l USING (period, partner)
        WHERE s.charge_micro IS DISTINCT FROM l.charge_micro
        """,  # noqa: S608
        is_cheap=True,
    ),
    by_recount(
        "papers",
        "sheets and statements are, to the byte, what frozen cells, stock and prices come to",
        papers_proof.flaws,
    ),
    by_query(
        "cells",
        "frozen cells equal the sum of the flows",
        f"""
        SELECT NULL::smallint, {_CELL_NAMED}
        FROM (SELECT {_CELL}, points, count FROM cells
              UNION ALL SELECT {_CELL}, -points, -count FROM flows WHERE period IN {_FROZEN}) AS both_ways
        GROUP BY {_CELL} HAVING sum(points) <> 0 OR sum(count) <> 0
        """,  # noqa: S608
        is_cheap=True,
    ),
    by_query(
        "cells_lines",
        "frozen cells equal the sum of the lines: the full recount",
        f"""
        SELECT NULL::smallint, {_CELL_NAMED}
        FROM (SELECT {_CELL}, points FROM cells
              UNION ALL
              SELECT {_CELL}, -amount FROM (
                  SELECT period, issuer, obligor, redeemer, tariff, terms, origin_period, amount,
                         {FLOW_IN_SQL} AS operation
                  FROM lines WHERE unit = '{POINTS}' AND period IN {_FROZEN}) AS moved
              WHERE operation IS NOT NULL) AS both_ways
        GROUP BY {_CELL} HAVING sum(points) <> 0
        """,  # noqa: S608
    ),
    Invariant(
        "cells_hash", "frozen cells have the hash they were frozen under", _find_changed_cells, is_cheap=True
    ),
    by_query(
        "frozen_stock",
        "frozen stock equals the sum of the buckets at their fences",
        f"""
        SELECT NULL::smallint, format('period %s: issuer %s, obligor %s, tariff %s differs by %s',
                                      period, issuer, obligor, tariff, sum(points))
        FROM (SELECT {_STOCK}, points FROM frozen_stock
              UNION ALL SELECT {_STOCK}, -points FROM stock_at_fence WHERE period IN {_FROZEN}) AS both_ways
        GROUP BY {_STOCK} HAVING sum(points) <> 0
        """,  # noqa: S608
        is_cheap=True,
    ),
    by_query(
        "points_roll_forward",
        "opening points and what moved them make the closing points",
        f"""
        SELECT NULL::smallint, format('period %s, obligor %s: differs by %s', period, obligor, sum(points))
        FROM (SELECT period, obligor, points * {STOCK_SIGN_IN_SQL} AS points FROM cells
              UNION ALL SELECT period, obligor, -points FROM frozen_stock
              UNION ALL SELECT period + 1, obligor, points FROM frozen_stock
                        WHERE period + 1 IN {_FROZEN}) AS both_ways
        GROUP BY period, obligor HAVING sum(points) <> 0
        """,  # noqa: S608
        is_cheap=True,
    ),
    by_query(
        "reserves",
        "the reserve equals what was outstanding at the last fence, at its redemption value",
        f"""
        SELECT {TREASURY}::smallint, format('obligor %s, tariff %s: differs by %s micro',
                                            obligor, tariff, sum(micro))
        FROM (SELECT obligor, tariff, -amount AS micro FROM lines
              WHERE bucket = {TREASURY} AND debit = {RESERVE}
              UNION ALL SELECT obligor, tariff, amount FROM lines
              WHERE bucket = {TREASURY} AND credit = {RESERVE}
              UNION ALL SELECT s.obligor, s.tariff, -s.points * t.redemption_value_micro
              FROM frozen_stock s JOIN tariffs t ON t.id = s.tariff
              WHERE s.period = {_POSTED} AND (t.funding = '{Funding.AT_ISSUE}' OR s.obligor = {OPERATOR})
              UNION ALL SELECT c.obligor, c.tariff, c.points * t.redemption_value_micro
                                                    * CASE operation WHEN 'transfer_in' THEN 1 ELSE -1 END
              FROM cells c JOIN tariffs t ON t.id = c.tariff
              WHERE c.period <= {_POSTED} AND c.operation IN ('transfer_in', 'transfer_out')
                AND (t.funding = '{Funding.AT_ISSUE}' OR c.obligor = {OPERATOR})
             ) AS both_ways
        WHERE {_NONE_IS_BEING_POSTED}
        GROUP BY obligor, tariff HAVING sum(micro) <> 0
        """,  # noqa: S608
    ),
    by_query(
        "settle",
        "what partners owe in the ledger equals what the period's sheets charged them",
        f"""
        SELECT {TREASURY}::smallint, format('partner %s: differs by %s micro', partner, sum(micro))
        FROM (SELECT debit_owner AS partner, amount AS micro FROM lines
              WHERE bucket = {TREASURY} AND debit = {SETTLE}
              UNION ALL SELECT credit_owner, -amount FROM lines
              WHERE bucket = {TREASURY} AND credit = {SETTLE}
              UNION ALL SELECT partner, -charge_micro FROM sheet_lines WHERE partner <> {OPERATOR}
             ) AS both_ways
        WHERE {_NONE_IS_BEING_POSTED} AND EXISTS (SELECT FROM sheets WHERE period = {_POSTED})
        GROUP BY partner HAVING sum(micro) <> 0
        """,  # noqa: S608
    ),
    by_query(
        "money_in_transit",
        "points that one obligor gave up were taken over by another, at the same value",
        f"""
        SELECT {TREASURY}::smallint, format('money in transit: %s %s', sum(micro), unit)
        FROM (SELECT unit, amount AS micro FROM lines
              WHERE bucket = {TREASURY} AND debit = {accounts.MONEY_IN_TRANSIT}
              UNION ALL SELECT unit, -amount FROM lines
              WHERE bucket = {TREASURY} AND credit = {accounts.MONEY_IN_TRANSIT}) AS both_ways
        GROUP BY unit HAVING sum(micro) <> 0
        """,  # noqa: S608
    ),
)
"""What a closed period claims. The ledger's own list proves the points beneath it."""
