"""What the ledger claims of the rows of state one by one, where lines alone can say it."""

from __future__ import annotations

from typing import Final

from ledger.accounts import AVAILABLE, CANCELLED, CLAWBACK_DUE, HELD, IN_TRANSIT, PENDING, REDEEMED

_CLOCKS_DIFFER_BY: Final = "interval '10 minutes'"
"""Clocks of machines are a moment apart; a driven clock is one."""

_IN_LOTS: Final = f"({PENDING}, {AVAILABLE})"
"""The accounts whose points lie in lots."""

_SEQUENCE: Final = "((1::bigint << 56) - 1)"
_MAKER: Final = f"(({{lot}} >> 56 << 56) | (({{lot}} & {_SEQUENCE}) >> 15))"


def maker_of(lot: str) -> str:
    """In SQL: the operation that made a lot, as `ledger.wallet.lot_id` gives lots their ids."""
    return _MAKER.format(lot=lot)


OF_HISTORY: Final = (
    (
        "lot_lines",
        "every lot has the points, the member, the issuer and the tariff of the lines that name it",
        f"""
        SELECT (id >> 56)::smallint,
               format('lot %s of member %s: %s pending, %s available, issuer %s, tariff %s; '
                      'its lines: member %s, %s, %s, issuer %s, tariff %s', id,
                      l.member, l.pending, l.available, l.issuer, l.tariff,
                      m.member, m.pending, m.available, m.issuer, m.tariff)
        FROM lots l
        FULL JOIN (
            SELECT lot AS id,
                   min(CASE WHEN debit IN {_IN_LOTS} THEN debit_owner ELSE credit_owner END) AS member,
                   sum((credit = {PENDING})::int * amount - (debit = {PENDING})::int * amount) AS pending,
                   sum((credit = {AVAILABLE})::int * amount - (debit = {AVAILABLE})::int * amount)
                       AS available,
                   min(issuer) AS issuer, min(tariff) AS tariff
            FROM lines WHERE lot <> 0 AND (debit IN {_IN_LOTS} OR credit IN {_IN_LOTS}) GROUP BY lot
        ) m USING (id)
        WHERE (l.bucket, l.member, l.pending, l.available, l.issuer, l.tariff)
              IS DISTINCT FROM (id >> 56, m.member, m.pending, m.available, m.issuer, m.tariff)
        """,  # noqa: S608 - constants of the chart of accounts
    ),
    (
        "slice_lines",
        "every slice is what its hold pinned, captured what its lines say, and what is left is its lot's",
        f"""
        SELECT (hold >> 56)::smallint,
               format('slice %s of hold %s: member %s, lot %s, issuer %s, obligor %s, tariff %s, '
                      '%s points, %s captured, %s released; its lines: member %s, lot %s, issuer %s, '
                      'tariff %s, %s points, %s captured', ordinal, hold,
                      s.member, s.lot, s.issuer, s.obligor, s.tariff, s.points, s.captured, s.released,
                      a.member, a.lot, a.issuer, a.tariff, a.points, coalesce(c.points, 0))
        FROM slices s
        FULL JOIN (SELECT operation AS hold, ordinal, debit_owner AS member, lot, issuer, tariff,
                          amount AS points
                   FROM lines WHERE debit = {AVAILABLE} AND credit = {HELD}) a USING (hold, ordinal)
        LEFT JOIN (SELECT o.reference, l.lot, sum(l.amount) AS points
                   FROM lines l
                   JOIN operations o
                     ON o.bucket = l.bucket AND o.id = l.operation AND o.recorded_at = l.recorded_at
                   WHERE l.debit = {HELD} AND l.credit = {REDEEMED} GROUP BY 1, 2) c
            ON c.reference = s.hold AND c.lot = s.lot
        LEFT JOIN (SELECT o.reference, array_agg(DISTINCT l.obligor) AS obligors
                   FROM lines l
                   JOIN operations o
                     ON o.bucket = l.bucket AND o.id = l.operation AND o.recorded_at = l.recorded_at
                   WHERE l.debit = {HELD} GROUP BY 1) d ON d.reference = s.hold
        LEFT JOIN holds h ON h.bucket = s.bucket AND h.id = s.hold
        LEFT JOIN lots t ON t.bucket = s.bucket AND t.member = s.member AND t.id = s.lot
        WHERE (s.bucket, s.member, s.lot, s.issuer, s.tariff, s.points)
              IS DISTINCT FROM (hold >> 56, a.member, a.lot, a.issuer, a.tariff, a.points)
           OR s.captured <> coalesce(c.points, 0)
           OR s.released <> CASE WHEN h.is_open THEN 0 ELSE s.points - s.captured END
           OR s.earned_at <> t.earned_at
           OR CASE WHEN s.captured + s.released < s.points
                   THEN (s.obligor, s.expires_at) <> (t.obligor, t.expires_at)
                   ELSE s.obligor <> ALL (d.obligors) OR s.expires_at > t.expires_at END
        """,  # noqa: S608 - constants of the chart of accounts
    ),
    (
        "due_lines",
        "every due is what its return could not take back, of that purchase and for who paid for it",
        f"""
        SELECT (operation >> 56)::smallint,
               format('due of operation %s: %s points of member %s, of operation %s, issuer %s, '
                      'obligor %s, tariff %s; its lines: %s points of member %s, lot %s, issuer %s, '
                      'obligor %s, tariff %s',
                      operation, d.points, d.member, d.original, d.issuer, d.obligor, d.tariff,
                      l.points, l.member, l.lot, l.issuer, l.obligor, l.tariff)
        FROM dues d
        FULL JOIN (SELECT operation, debit_owner AS member, lot, issuer, obligor, tariff, amount AS points
                   FROM lines WHERE debit = {CLAWBACK_DUE} AND credit IN ({CANCELLED}, {IN_TRANSIT})) l
            USING (operation)
        WHERE (d.bucket, d.member, d.issuer, d.obligor, d.tariff, d.points)
              IS DISTINCT FROM (operation >> 56, l.member, l.issuer, l.obligor, l.tariff, l.points)
           OR l.lot <> 0 AND d.original <> {maker_of("l.lot")}
        """,  # noqa: S608 - an expression, and constants of the chart of accounts
    ),
    (
        "periods",
        "every operation is of the period that the calendar has for the instant when it was recorded",
        # As `Calendar.period_at` and `Block` have it: the first period reaches back, the next one to come on.
        """
        WITH spans AS (
            SELECT period, ends_at,
                   CASE WHEN period = min(period) OVER () THEN '-infinity' ELSE starts_at END AS starts_at
            FROM calendar
            UNION ALL SELECT max(period) + 1, 'infinity', max(ends_at) FROM calendar
        )
        SELECT o.bucket, format('operation %s, recorded at %s, is of period %s', o.id, o.recorded_at, period)
        FROM operations o
        LEFT JOIN spans s USING (period)
        WHERE (o.recorded_at >= s.starts_at AND o.recorded_at < s.ends_at) IS NOT TRUE
        """,
    ),
)
"""(name, claim, query), as `ledger.proof.by_query` takes them.

A hold takes a lot once, and gives back nothing before it ends. A debt that came from a merged member has no
lot here: its transit says what it is for.
"""

OF_STATE: Final = (
    (
        "due_order",
        "no due is paid before an older one of its member",
        """
        SELECT bucket, format('due of operation %s of member %s has %s of %s points left, an older one %s',
                              operation, member, points_left, points, older)
        FROM (SELECT bucket, member, operation, points, points_left,
                     sum(points_left) OVER (PARTITION BY bucket, member ORDER BY operation
                                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS older
              FROM dues) AS ordered
        WHERE points_left < points AND older > 0
        """,
    ),
    (
        "heads",
        "every head is where its last block left it",
        """
        SELECT h.bucket, format('head of bucket %s: height %s, operations %s, period %s, recorded at %s; '
                                'its last block: %s, %s, %s, %s', h.bucket, h.height, h.operations, h.period,
                                h.recorded_at, b.height, b.operations, b.period, b.recorded_at)
        FROM heads h
        CROSS JOIN LATERAL (
            (SELECT height, first + count - 1 - (bucket::bigint << 56) AS operations, period,
                    recorded_at, hash
             FROM blocks WHERE bucket = h.bucket ORDER BY height DESC LIMIT 1)
            UNION ALL SELECT 0, 0, 1, '1970-01-01T00:00:00Z', decode(repeat('00', 32), 'hex')
            ORDER BY height DESC LIMIT 1
        ) b
        WHERE (h.height, h.operations, h.period, h.recorded_at, h.hash)
              <> (b.height, b.operations, b.period, b.recorded_at, b.hash)
        """,
    ),
    (
        "ahead",
        "nothing is recorded ahead of the programme's clock",
        f"""
        SELECT bucket, format('head of bucket %s: recorded at %s, which lies ahead', bucket, recorded_at)
        FROM heads, clock
        WHERE recorded_at > CASE WHEN is_driven THEN clock.now ELSE now() + {_CLOCKS_DIFFER_BY} END
        """,  # noqa: S608 - a constant
    ),
)
"""The same, of those that read state alone."""
