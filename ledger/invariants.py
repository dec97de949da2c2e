"""The ledger's invariants, each with a query or a recount that finds what breaks it."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import (
    recount_counters,
    recount_holds,
    recount_keys,
    recount_lots,
    recount_returns,
    recount_transits,
    state_proof,
    transit_proof,
)
from ledger.accounts import (
    ADJUST,
    AVAILABLE,
    CANCELLED,
    CLAWBACK_DUE,
    EXPIRED,
    FLOW_IN_SQL,
    HELD,
    IN_TRANSIT,
    ISSUED,
    OPENING,
    PENDING,
    POINTS,
    REDEEMED,
    STOCK_SIGN_IN_SQL,
)
from ledger.evidence import sealing, views
from ledger.evidence.recount import Recount
from ledger.proof import Finding, Invariant, by_query, by_recount
from ledger.recount import flow_flaws

_SOURCES: Final = f"({ISSUED}, {OPENING})"
"""Where points come from."""

_SINKS: Final = f"({REDEEMED}, {EXPIRED}, {CANCELLED}, {ADJUST}, {IN_TRANSIT})"
"""Where points go that leave a member, until some of them come back."""


async def _find_in_history(connection: AsyncConnection) -> list[Finding]:
    recount = Recount(connection)
    found = [Finding("chain", flaw.bucket, flaw.row) async for flaw in recount.flaws()]
    seals = sealing.flaws(connection, recount.sealable)
    return found + [Finding("chain", flaw.bucket, flaw.row) async for flaw in seals]


INVARIANTS: Final = (
    by_recount(
        "views",
        "the proof reads what the tills read, and archived months besides",
        views.flaws,
        is_cheap=True,
    ),
    by_query(
        "lots",
        "available and pending points equal the sum of the lots",
        """
        SELECT (member >> 56)::smallint,
               format('wallet of member %s: available %s, pending %s; its lots: %s, %s', member,
                      w.available, w.pending, coalesce(l.available, 0), coalesce(l.pending, 0))
        FROM wallets w
        FULL JOIN (SELECT member, sum(available) AS available, sum(pending) AS pending
                   FROM lots GROUP BY member) l USING (member)
        WHERE coalesce(w.available, 0) <> coalesce(l.available, 0)
           OR coalesce(w.pending, 0) <> coalesce(l.pending, 0)
        """,
        is_cheap=True,
    ),
    by_query(
        "lots_from",
        "no lot with points comes before its wallet says that they begin",
        """
        SELECT w.bucket, format('wallet of member %s: lots from %s, %s; lot %s has points and expires at %s',
                                w.member, w.lots_from, w.first_lot, l.id, l.expires_at)
        FROM wallets w
        JOIN lots l ON l.bucket = w.bucket AND l.member = w.member
             AND (l.expires_at, l.id) < (w.lots_from, w.first_lot)
        WHERE l.available > 0 OR l.pending > 0
        """,
        is_cheap=True,
    ),
    by_query(
        "due",
        "nothing falls due before its wallet says",
        """
        SELECT w.bucket, format('wallet of member %s: due at %s; of its lots and holds the first is at %s',
                                w.member, coalesce(w.next_due_at, 'infinity'), d.due_at)
        FROM wallets w
        JOIN (SELECT bucket, member, min(due_at) AS due_at
              FROM (SELECT bucket, member, CASE WHEN pending > 0 THEN available_at
                                                WHEN available > 0 AND armed_at IS NOT NULL THEN expires_at
                                           END AS due_at
                    FROM lots
                    UNION ALL
                    SELECT bucket, member, expires_at FROM holds WHERE is_open) each
              GROUP BY 1, 2) d USING (bucket, member)
        WHERE d.due_at < coalesce(w.next_due_at, 'infinity')
        """,
        is_cheap=True,
    ),
    by_query(
        "slices",
        "held points equal the sum of the open slices",
        """
        SELECT (member >> 56)::smallint,
               format('wallet of member %s: held %s; its slices: %s', member, w.held, coalesce(s.held, 0))
        FROM wallets w
        FULL JOIN (SELECT member, sum(points - captured - released) AS held FROM slices GROUP BY member) s
            USING (member)
        WHERE coalesce(w.held, 0) <> coalesce(s.held, 0)
        """,
        is_cheap=True,
    ),
    by_query(
        "wallets",
        "every wallet equals the sum of its lines",
        f"""
        SELECT coalesce(w.bucket, (coalesce(w.member, m.member) >> 56)::smallint),
               format('wallet of member %s: %s/%s/%s/%s pending/available/held/due; its lines: %s/%s/%s/%s',
                      coalesce(w.member, m.member), w.pending, w.available, w.held, w.clawback_due,
                      m.pending, m.available, m.held, m.due)
        FROM wallets w
        FULL JOIN (
            SELECT member,
                   sum(amount) FILTER (WHERE kind = {PENDING}) AS pending,
                   sum(amount) FILTER (WHERE kind = {AVAILABLE}) AS available,
                   sum(amount) FILTER (WHERE kind = {HELD}) AS held,
                   -sum(amount) FILTER (WHERE kind = {CLAWBACK_DUE}) AS due
            FROM (SELECT debit_owner AS member, debit AS kind, -amount AS amount
                  FROM lines WHERE debit BETWEEN {PENDING} AND {CLAWBACK_DUE}
                  UNION ALL
                  SELECT credit_owner, credit, amount
                  FROM lines WHERE credit BETWEEN {PENDING} AND {CLAWBACK_DUE}) AS moved
            GROUP BY member
        ) m USING (member)
        WHERE coalesce(w.pending, 0) <> coalesce(m.pending, 0)
           OR coalesce(w.available, 0) <> coalesce(m.available, 0)
           OR coalesce(w.held, 0) <> coalesce(m.held, 0)
           OR coalesce(w.clawback_due, 0) <> coalesce(m.due, 0)
        """,  # noqa: S608 - constants of the chart of accounts
    ),
    by_query(
        "dues",
        "what members owe equals the sum of their dues",
        """
        SELECT (member >> 56)::smallint,
               format('wallet of member %s: owes %s; its dues: %s', member, w.clawback_due,
                      coalesce(d.points, 0))
        FROM wallets w
        FULL JOIN (SELECT member, sum(points_left) AS points FROM dues GROUP BY member) d USING (member)
        WHERE coalesce(w.clawback_due, 0) <> coalesce(d.points, 0)
        """,
        is_cheap=True,
    ),
    by_recount(
        "returned",
        "what came back of a purchase is what its returns say, and no more than was bought",
        recount_returns.flaws,
    ),
    by_query(
        "flows",
        "every flow equals the sum of its lines",
        f"""
        SELECT coalesce(f.bucket, l.bucket),
               format('flow %s of period %s, issuer %s, obligor %s, redeemer %s: %s points in %s; '
                      'its lines: %s in %s', operation, period, issuer, obligor, redeemer,
                      f.points, f.count, l.points, l.count)
        FROM flows_now f
        FULL JOIN (
            SELECT bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period,
                   sum(amount) AS points, count(*) AS count
            FROM (SELECT *, {FLOW_IN_SQL} AS operation FROM
                  (SELECT bucket, period, issuer, obligor, redeemer, tariff, terms, origin_period, amount,
                          debit, credit FROM lines WHERE unit = '{POINTS}') AS moved) AS named
            WHERE operation IS NOT NULL
            GROUP BY bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period
        ) l USING (bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period)
        WHERE f.points IS DISTINCT FROM l.points OR f.count IS DISTINCT FROM l.count
        """,  # noqa: S608 - constants of the chart of accounts
    ),
    by_recount("flow_hashes", "every flow's additive hash covers exactly its lines", flow_flaws),
    by_query(
        "stock",
        "stock equals what the lots and the open slices hold",
        """
        SELECT coalesce(s.bucket, o.bucket),
               format('stock of issuer %s, obligor %s, tariff %s: %s; its lots and slices: %s',
                      issuer, obligor, tariff, s.points, o.points)
        FROM (SELECT bucket, issuer, obligor, tariff, sum(points) AS points
              FROM stock_now GROUP BY bucket, issuer, obligor, tariff) s
        FULL JOIN (
            SELECT bucket, issuer, obligor, tariff, sum(points) AS points
            FROM (SELECT bucket, issuer, obligor, tariff, available AS points FROM lots
                  UNION ALL
                  SELECT bucket, issuer, obligor, tariff, points - captured - released FROM slices) AS owed
            GROUP BY bucket, issuer, obligor, tariff
        ) o USING (bucket, issuer, obligor, tariff)
        WHERE coalesce(s.points, 0) <> coalesce(o.points, 0)
        """,
        is_cheap=True,
    ),
    by_query(
        "stock_flows",
        "stock equals what was released, less what was burned, expired and taken back",
        f"""
        SELECT coalesce(s.bucket, f.bucket),
               format('stock of issuer %s, obligor %s, tariff %s: %s; its flows: %s',
                      issuer, obligor, tariff, s.points, f.points)
        FROM (SELECT bucket, issuer, obligor, tariff, sum(points) AS points
              FROM stock_now GROUP BY bucket, issuer, obligor, tariff) s
        FULL JOIN (
            SELECT bucket, issuer, obligor, tariff,
                   sum(points * {STOCK_SIGN_IN_SQL}) AS points
            FROM flows_now GROUP BY bucket, issuer, obligor, tariff
        ) f USING (bucket, issuer, obligor, tariff)
        WHERE coalesce(s.points, 0) <> coalesce(f.points, 0)
        """,  # noqa: S608 - constants of the chart of accounts
        is_cheap=True,
    ),
    by_query(
        "issued",
        "points issued and brought along, less what is gone or in transit, equal what members have",
        f"""
        SELECT NULL::smallint, format('issued %s, gone %s, with members %s', issued, gone, members)
        FROM (SELECT coalesce(sum(amount) FILTER (WHERE debit IN {_SOURCES}), 0)
                     - coalesce(sum(amount) FILTER (WHERE credit IN {_SOURCES}), 0) AS issued,
                     coalesce(sum(amount) FILTER (WHERE credit IN {_SINKS}), 0)
                     - coalesce(sum(amount) FILTER (WHERE debit IN {_SINKS}), 0) AS gone
              FROM lines WHERE unit = '{POINTS}') AS history,
             (SELECT coalesce(sum(pending + available + held - clawback_due), 0) AS members
              FROM wallets) AS state
        WHERE issued - gone <> members
        """,  # noqa: S608 - constants of the chart of accounts
    ),
    *(by_query(*each) for each in (*state_proof.OF_HISTORY, *transit_proof.OF_HISTORY)),
    *(by_query(*each, is_cheap=True) for each in (*state_proof.OF_STATE, *transit_proof.OF_STATE)),
    by_recount(
        "lot_dates", "every lot is what the operations that made and changed it said", recount_lots.flaws
    ),
    by_recount(
        "holds", "every hold is as it was authorised, and open until it was ended", recount_holds.flaws
    ),
    by_recount(
        "transits",
        "every transit, and every debt that came by one, is what its operation sent off",
        recount_transits.flaws,
    ),
    by_recount("survivors", "a member is merged into whom its merge named", recount_transits.survivor_flaws),
    by_recount(
        "counters", "counters and escrows hold what accepted operations counted", recount_counters.flaws
    ),
    by_query(
        "escrows",
        "what buckets were granted of a shared ceiling is what its pool gave, and no more than the ceiling",
        """
        SELECT NULL::smallint, format('pool %s in %s: gave %s of %s; its escrows hold %s', p.name, p.span,
                                      p.granted, p.ceiling, coalesce(sum(a.granted), 0))
        FROM allowance_pools p
        LEFT JOIN allowances a ON a.name = p.name AND a.span = p.span AND a.cell = p.cell
        GROUP BY p.name, p.span, p.granted, p.ceiling
        HAVING p.granted <> coalesce(sum(a.granted), 0) OR p.granted > p.ceiling
        """,
        is_cheap=True,
    ),
    by_query(
        "frozen",
        "a wallet is frozen when the last word on it was to freeze it",
        """
        SELECT w.bucket, format('wallet of member %s: frozen %s', w.member, w.frozen)
        FROM wallets w
        LEFT JOIN (SELECT DISTINCT ON (bucket, member) bucket, member, kind = 'freeze' AS frozen
                   FROM operations WHERE kind IN ('freeze', 'unfreeze') AND refusal = ''
                   ORDER BY bucket, member, id DESC) o USING (bucket, member)
        WHERE w.frozen <> coalesce(o.frozen, false)
        """,
    ),
    by_query(
        "tallies",
        "every tally of an hour equals its lines, by both clocks",
        f"""
        SELECT NULL::smallint,
               format('tally of the hour %s by the %s clock, issuer %s, obligor %s, redeemer %s, '
                      'from %s to %s: differs by %s',
                      starts_at, clock, issuer, obligor, redeemer, debit, credit, sum(points))
        FROM (SELECT clock, starts_at, issuer, obligor, redeemer, debit, credit, points
              FROM tallies WHERE span = 'hour'
              UNION ALL
              SELECT clock, date_trunc('hour', CASE clock WHEN 'recorded' THEN l.recorded_at
                                               ELSE least(o.occurred_at, o.recorded_at) END, 'UTC'),
                     l.issuer, l.obligor, l.redeemer, l.debit, l.credit, -l.amount
              FROM lines l
              JOIN operations o
                ON o.bucket = l.bucket AND o.id = l.operation AND o.recorded_at = l.recorded_at
              JOIN (SELECT bucket, max(last) AS last FROM tally_marks GROUP BY bucket) m
                ON m.bucket = l.bucket,
                   unnest(ARRAY['recorded', 'effective']) AS clock
              WHERE l.unit = '{POINTS}' AND l.operation <= m.last) AS both_ways
        GROUP BY clock, starts_at, issuer, obligor, redeemer, debit, credit HAVING sum(points) <> 0
        """,  # noqa: S608 - constants of the chart of accounts
    ),
    by_query(
        "tally_spans",
        "tallies of days and months equal those of their hours",
        """
        SELECT NULL::smallint,
               format('tally of the %s %s by the %s clock, issuer %s, obligor %s: differs by %s',
                      span, starts_at, clock, issuer, obligor, sum(points))
        FROM (SELECT clock, span, starts_at, issuer, obligor, redeemer, debit, credit, points
              FROM tallies WHERE span <> 'hour'
              UNION ALL
              SELECT clock, s.span, date_trunc(s.span, starts_at, 'UTC'),
                     issuer, obligor, redeemer, debit, credit, -points
              FROM tallies, unnest(ARRAY['day', 'month']) AS s (span)
              WHERE tallies.span = 'hour') AS both_ways
        GROUP BY clock, span, starts_at, issuer, obligor, redeemer, debit, credit HAVING sum(points) <> 0
        """,
    ),
    by_query(
        "tally_marks",
        "every operation that is folded is marked in its hour, a late one where it is effective too",
        """
        WITH folded AS (
            SELECT o.bucket, o.id, o.recorded_at, date_trunc('hour', o.recorded_at, 'UTC') AS recorded_in,
                   date_trunc('hour', least(o.occurred_at, o.recorded_at), 'UTC') AS effective_in
            FROM operations o
            JOIN (SELECT bucket, max(last) AS last FROM tally_marks GROUP BY bucket) m USING (bucket)
            WHERE o.id <= m.last
        )
        SELECT NULL::smallint,
               format('mark of bucket %s in the hour %s: operations %s to %s; it has %s to %s', bucket,
                      starts_at, m.first, m.last, o.first, o.last)
        FROM tally_marks m
        FULL JOIN (SELECT bucket, recorded_in AS starts_at, min(id) AS first, max(id) AS last
                   FROM folded GROUP BY bucket, recorded_in) o USING (bucket, starts_at)
        WHERE (m.first, m.last) IS DISTINCT FROM (o.first, o.last)
        UNION ALL
        SELECT NULL::smallint,
               format('operation %s is marked as late in the hour %s; it is in %s', operation,
                      t.starts_at, o.effective_in)
        FROM tally_late t
        FULL JOIN (SELECT bucket, id AS operation, recorded_at, effective_in
                   FROM folded WHERE effective_in < recorded_in) o USING (bucket, operation, recorded_at)
        WHERE t.starts_at IS DISTINCT FROM o.effective_in
        """,
    ),
    by_query(
        "keys",
        "every idempotency key names an operation that exists",
        """
        SELECT k.bucket,
               format('key %s names operation %s, which is not there', encode(k.key, 'hex'), k.operation)
        FROM keys k
        LEFT JOIN operations o ON o.bucket = k.bucket AND o.id = k.operation AND o.recorded_at = k.recorded_at
        WHERE o.id IS NULL
        """,
    ),
    by_recount(
        "claims", "every operation has its key, its receipt and its token among the keys", recount_keys.flaws
    ),
    by_query(
        "unsealed",
        "where periods are sealed, every one that all buckets left and that ended a week ago has its seal",
        # A driven clock passes many periods at once, before anybody can seal them.
        """
        SELECT NULL::smallint, format('period %s ended at %s and has no seal', c.period, c.ends_at)
        FROM calendar c
        WHERE EXISTS (SELECT FROM clock WHERE NOT is_driven) AND EXISTS (SELECT FROM seals)
          AND c.ends_at < now() - interval '7 days' AND c.period < (SELECT min(period) FROM heads)
          AND NOT EXISTS (SELECT FROM seals s WHERE s.period = c.period)
        """,
        is_cheap=True,
    ),
    Invariant(
        "chain",
        "every block follows the last, its hash covers every operation and line, every seal what was written",
        _find_in_history,
    ),
)
"""What the ledger claims about itself. Money is proved by `settlement`."""
