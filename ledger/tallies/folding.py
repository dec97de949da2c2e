"""Folding: history that no tally covers yet is added to the sums of its hours, days and months."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

OPERATIONS_AT_ONCE: Final = 2_000
"""Of each bucket, in one transaction."""

_FOLDING: Final = 0x74616C6C
"""The advisory lock of whoever folds."""

LAST_MARK: Final = """
    SELECT m.last FROM tally_marks m WHERE m.bucket = h.bucket ORDER BY m.starts_at DESC LIMIT 1
"""
"""Recorded instants and ids grow together in a bucket, so its last hour has its last operation."""

_FOLD: Final = text(f"""
    WITH reached AS MATERIALIZED (
        SELECT h.bucket, m.last, least(h.last, m.last + :most) AS upto
        FROM (SELECT bucket, bucket::bigint << 56 | operations AS last FROM heads) h
        CROSS JOIN LATERAL (SELECT coalesce(({LAST_MARK}), h.bucket::bigint << 56) AS last) m
        WHERE h.last > m.last
    ), taken AS MATERIALIZED (
        SELECT o.bucket, o.id, o.recorded_at, date_trunc('hour', o.recorded_at, 'UTC') AS recorded_in,
               date_trunc('hour', least(o.occurred_at, o.recorded_at), 'UTC') AS effective_in
        FROM reached r
        CROSS JOIN LATERAL (SELECT * FROM whole.operations o
                            WHERE o.bucket = r.bucket AND o.id > r.last AND o.id <= r.upto) o
    ), moved AS MATERIALIZED (
        SELECT t.recorded_in, t.effective_in, l.issuer, l.obligor, l.redeemer, l.debit, l.credit,
               sum(l.amount) AS points
        FROM reached r
        CROSS JOIN LATERAL (SELECT * FROM whole.lines l
                            WHERE l.bucket = r.bucket AND l.operation > r.last AND l.operation <= r.upto
                              AND l.unit = 'PTS') l
        JOIN taken t ON t.bucket = l.bucket AND t.id = l.operation
        GROUP BY 1, 2, 3, 4, 5, 6, 7
    ), marked AS (
        INSERT INTO tally_marks (bucket, starts_at, first, last)
        SELECT bucket, recorded_in, min(id), max(id) FROM taken GROUP BY bucket, recorded_in
        ON CONFLICT (bucket, starts_at) DO UPDATE SET last = excluded.last
    ), noted AS (
        INSERT INTO tally_late (starts_at, bucket, operation, recorded_at)
        SELECT effective_in, bucket, id, recorded_at FROM taken WHERE effective_in < recorded_in
    ), added AS (
        INSERT INTO tallies AS t (clock, span, starts_at, issuer, obligor, redeemer, debit, credit, points)
        SELECT clock, span,
               date_trunc(span, CASE clock WHEN 'recorded' THEN recorded_in ELSE effective_in END, 'UTC'),
               issuer, obligor, redeemer, debit, credit, sum(points)
        FROM moved, unnest(ARRAY['recorded', 'effective']) AS clock,
             unnest(ARRAY['month', 'day', 'hour']) AS span
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
        ON CONFLICT (clock, span, starts_at, issuer, obligor, redeemer, debit, credit)
        DO UPDATE SET points = t.points + excluded.points
    )
    SELECT count(*) FROM taken
""")  # noqa: S608 - a constant of our own


async def fold(connection: AsyncConnection, *, most: int = OPERATIONS_AT_ONCE) -> int:
    """Fold at most `most` operations of each bucket; how many were folded, 0 when there are none left.

    In the caller's transaction. Whoever folds at the same time waits, and then finds less to do.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _FOLDING})
    return int((await connection.execute(_FOLD, {"most": most})).scalar_one())
