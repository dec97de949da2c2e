"""Folding: flows and stock travel with their blocks, and are brought into their tables now and then.

A cell that every batch moves would be written by every batch. So a block carries what it moved,
under its own hash, and the head says up to which height the tables `flows` and `stock` have
taken it over. The views `flows_now` and `stock_now` add the rest, in one snapshot.
"""

from __future__ import annotations

from typing import Final

from .kernel.wire import Statement

FOLD_AFTER: Final = 256
"""Blocks of a bucket that may wait. The end of a period folds them all."""

FOLD_FLOWS: Final = Statement(
    "fold_flows",
    """
    INSERT INTO flows AS f
        (bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period,
         points, count, hash)
    SELECT bucket, period, issuer, obligor, redeemer, k.operation, tariff, terms, origin_period,
           points, count,
           mod(mod((high + negative) * 18446744073709551616 + low, 340282366920938463463374607431768211456)
               + 340282366920938463463374607431768211456, 340282366920938463463374607431768211456)
    FROM (SELECT bucket, period, issuer, obligor, redeemer, code, tariff, terms, origin_period,
                 sum(points) AS points, sum(count) AS count, sum(hash_high) AS high, sum(hash_low) AS low,
                 count(*) FILTER (WHERE hash_low < 0) AS negative
          FROM block_flows WHERE bucket = $1::smallint AND height > $2::bigint AND height <= $3::bigint
          GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9) m
    JOIN flow_kinds k USING (code)
    ON CONFLICT (bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period)
    DO UPDATE SET points = f.points + excluded.points, count = f.count + excluded.count,
                  hash = mod(f.hash + excluded.hash, 340282366920938463463374607431768211456)
    """,
)
FOLD_STOCK: Final = Statement(
    "fold_stock",
    """
    INSERT INTO stock AS s (bucket, issuer, obligor, tariff, issue_month, expiry_month, points)
    SELECT m.bucket, m.issuer, m.obligor, m.tariff, m.issue_month, m.expiry_month,
           m.points + coalesce(k.points, 0)
    FROM (SELECT bucket, issuer, obligor, tariff, issue_month, expiry_month, sum(points) AS points
          FROM block_stock WHERE bucket = $1::smallint AND height > $2::bigint AND height <= $3::bigint
          GROUP BY 1, 2, 3, 4, 5, 6) m
    LEFT JOIN stock k USING (bucket, issuer, obligor, tariff, issue_month, expiry_month)
    ON CONFLICT (bucket, issuer, obligor, tariff, issue_month, expiry_month)
    DO UPDATE SET points = excluded.points
    """,
)
KEEP_STOCK: Final = Statement(
    "keep_stock",
    """
    INSERT INTO stock_at_fence (period, bucket, issuer, obligor, tariff, issue_month, expiry_month, points)
    SELECT $2::int, bucket, issuer, obligor, tariff, issue_month, expiry_month, points
    FROM stock WHERE bucket = $1::smallint AND points > 0
    """,
)
