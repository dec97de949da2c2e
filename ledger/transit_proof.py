"""What the ledger claims of points that are on their way, of merged members and of months of expiry."""

from __future__ import annotations

from typing import Final

from ledger.accounts import IN_TRANSIT

_MOVED: Final = f"""
    SELECT owner, sum(amount) AS points
    FROM (SELECT credit_owner AS owner, amount FROM lines WHERE credit = {IN_TRANSIT}
          UNION ALL SELECT debit_owner, -amount FROM lines WHERE debit = {IN_TRANSIT}) AS moved
    GROUP BY owner
"""  # noqa: S608 - constants, here and below
_PROGRAMME_TIME: Final = "(SELECT CASE WHEN is_driven THEN now ELSE clock_timestamp() END FROM clock)"

OF_HISTORY: Final = (
    (
        "in_transit",
        "what is in transit is what open transits hold, or nothing once they have arrived",
        f"""
        SELECT coalesce(t.bucket, (m.owner >> 56)::smallint),
               format('transit %s: %s points in transit; its row: %s, %s points',
                      coalesce(t.id, m.owner), coalesce(m.points, 0), t.state, t.points)
        FROM transits t
        FULL JOIN ({_MOVED}) m ON m.owner = t.id
        WHERE coalesce(m.points, 0) <> 0
          AND (t.state IS DISTINCT FROM 'open' OR m.points <> t.points)
        """,  # noqa: S608
    ),
    (
        "transit_ends",
        "a transit is closed by the one operation that concluded it, and by nothing else",
        """
        SELECT t.bucket, format('transit %s is %s, concluded %s times', t.id, t.state, coalesce(o.ends, 0))
        FROM transits t
        LEFT JOIN (SELECT bucket, reference, count(*) AS ends FROM operations
                   WHERE kind IN ('transfer_done', 'transfer_back', 'merge_done') AND refusal = ''
                   GROUP BY bucket, reference) o ON o.bucket = t.bucket AND o.reference = t.id
        WHERE coalesce(o.ends, 0) <> (t.state <> 'open')::int
        """,
    ),
    (
        "stock_months",
        "stock of a month of issue and of expiry equals the lots and open slices of those months",
        """
        SELECT bucket, format('stock of issuer %s, obligor %s, tariff %s, issued %s, expiring %s: '
                              'differs from its lots and slices by %s',
                              issuer, obligor, tariff, issue_month, expiry_month, sum(points))
        FROM (SELECT bucket, issuer, obligor, tariff, issue_month, expiry_month, points
              FROM stock_now
              UNION ALL
              SELECT bucket, issuer, obligor, tariff,
                     to_char(earned_at AT TIME ZONE zone, 'YYYYMM')::int,
                     to_char((expires_at - interval '1 microsecond') AT TIME ZONE zone, 'YYYYMM')::int,
                     -points
              FROM (SELECT bucket, issuer, obligor, tariff, earned_at, expires_at, available AS points
                    FROM lots
                    WHERE available > 0
                    UNION ALL
                    SELECT bucket, issuer, obligor, tariff, earned_at, expires_at,
                           points - captured - released
                    FROM slices WHERE points > captured + released) AS owed
              CROSS JOIN (SELECT zone FROM calendar ORDER BY period LIMIT 1) AS programme) AS both_ways
        GROUP BY bucket, issuer, obligor, tariff, issue_month, expiry_month
        HAVING sum(points) <> 0
        """,
    ),
)
"""(name, claim, query), as `ledger.proof.by_query` takes them. Months of stock take as long as history."""

OF_STATE: Final = (
    (
        "transit_age",
        "no points are on their way for more than an hour",
        f"""
        SELECT NULL::smallint, format('transit %s is on its way since %s', id, opened_at)
        FROM transits
        WHERE state = 'open' AND opened_at < {_PROGRAMME_TIME} - interval '1 hour'
        """,  # noqa: S608
    ),
    (
        "merged",
        "a merged member keeps nothing but what is held, and a survivor is found for everyone",
        """
        WITH RECURSIVE heirs AS (
            SELECT member, merged_into, 1 AS steps FROM wallets WHERE merged_into IS NOT NULL
            UNION ALL
            SELECT h.member, w.merged_into, h.steps + 1
            FROM heirs h JOIN wallets w ON w.member = h.merged_into
            WHERE w.merged_into IS NOT NULL AND h.steps < 1000
        )
        SELECT bucket, format('merged member %s has %s available, %s pending, owes %s',
                              member, available, pending, clawback_due)
        FROM wallets WHERE merged_into IS NOT NULL AND available + pending + clawback_due > 0
        UNION ALL
        SELECT (member >> 56)::smallint, format('member %s has no survivor at the end of the chain', member)
        FROM heirs WHERE steps = 1000
        """,
    ),
)
"""The same, of those that read state alone."""
