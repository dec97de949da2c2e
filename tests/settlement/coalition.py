"""The golden coalition on a real database: its partners, prices and flows as the ledger would store them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.database import Database
from ledger.tables import flows, stock_at_fence
from partners import Funding, Terms, create_partner, create_programme, make_agreement
from partners.tables import tariffs

OPENED: Final = datetime(2026, 1, 1, tzinfo=UTC)
ENDS: Final = {1: datetime(2026, 2, 1, tzinfo=UTC), 2: datetime(2026, 3, 1, tzinfo=UTC)}
STAFF: Final = "staff:finance"


@dataclass(frozen=True, slots=True)
class Coalition:
    """Ids by the names of the golden file; O is the operator."""

    partners: dict[str, int]
    tariffs: dict[str, int]
    terms: dict[str, int]

    def name(self, partner: int) -> str:
        return next(name for name, id_ in self.partners.items() if id_ == partner)


async def found_coalition(database: Database, inputs: dict[str, Any], *, vat_ppm: int = 0) -> Coalition:
    """A programme of calendar months of 2026 in UTC, and the file's partners under its tariff."""
    price = inputs["tariff"]["issue_price_micro"]
    value = inputs["tariff"]["redemption_value_micro"]
    ids, tariff_ids, terms_ids = {"O": 0}, {}, {}
    async with database.writer.begin() as connection:
        await create_programme(
            connection, name="Kopilka", currency="RUB", time_zone="UTC", at=OPENED, by=STAFF
        )
        for name, how in inputs["funding"].items():
            if name == "O":
                tariff_ids[name] = await _operators_tariff(connection, value)
                continue
            partner = await create_partner(connection, name=name, at=OPENED, by=STAFF)
            terms = Terms(
                funding=Funding.AT_ISSUE if how == "I" else Funding.AT_REDEMPTION,
                issue_price_micro=price,
                redemption_value_micro=value,
                fee_ppm=_ppm(inputs["tariff"]["fee"]),
                vat_ppm=vat_ppm,
                breakage_share_ppm=_ppm(inputs["tariff"]["breakage_share_to_issuer"]),
                pending_days=0,
            )
            agreement = await make_agreement(connection, partner.id, terms=terms, at=OPENED, by=STAFF)
            ids[name], tariff_ids[name], terms_ids[name] = partner.id, agreement.tariff, agreement.id
    return Coalition(partners=ids, tariffs=tariff_ids, terms=terms_ids)


async def store_period(
    database: Database, coalition: Coalition, inputs: dict[str, Any], expected: dict[str, Any], period: int
) -> None:
    """Write the flows and the stock of one period of the golden file, spread over buckets."""
    buckets = count()
    async with database.writer.begin() as connection:
        for operation, obligor, issuer, redeemer, origin, points in _flows(inputs, expected, period):
            await connection.execute(
                insert(flows).values(
                    bucket=next(buckets) % 64,
                    period=period,
                    issuer=coalition.partners[issuer],
                    obligor=coalition.partners[obligor],
                    redeemer=coalition.partners[redeemer],
                    operation=operation,
                    tariff=coalition.tariffs[issuer],
                    terms=coalition.terms.get(redeemer, 0),
                    origin_period=origin,
                    points=points,
                    count=1,
                    hash=0,
                )
            )
        for obligor, issuer, month, points in _stock(inputs, expected, period):
            await connection.execute(
                insert(stock_at_fence).values(
                    period=period,
                    bucket=next(buckets) % 64,
                    issuer=coalition.partners[issuer],
                    obligor=coalition.partners[obligor],
                    tariff=coalition.tariffs[issuer],
                    issue_month=202600 + month,
                    expiry_month=202700 + month,
                    points=points,
                )
            )


def _flows(
    inputs: dict[str, Any], expected: dict[str, Any], period: int
) -> Iterator[tuple[str, str, str, str, int, int]]:
    """Operation, obligor, issuer, redeemer, origin period and points of each flow."""
    happened = inputs["periods"][str(period)]
    for key, operation in (("earn", "release"), ("claw", "claw_back"), ("expire", "expire")):
        for name, points in happened[key].items():
            if points:
                yield operation, name, name, "O", period, points
    for key, operation, origin in (
        ("burn", "burn", period),
        ("burn_refund", "burn_return", period),
        ("late", "burn", period - 1),
        ("dispute", "burn_return", period - 1),
    ):
        for name, row in happened[key].items():
            for redeemer, points in row.items():
                yield operation, name, name, redeemer, origin, points
    if happened["novate"]:
        name = happened["novate"]
        points = expected[str(period)]["pre_novation"][name]
        yield "novate_out", name, name, "O", period, points
        yield "novate_in", "O", name, "O", period, points


def _stock(
    inputs: dict[str, Any], expected: dict[str, Any], period: int
) -> Iterator[tuple[str, str, int, int]]:
    """Obligor, issuer, month of issue and points; what the operator took over keeps its issuer."""
    closed = expected[str(period)]
    leaver = inputs["periods"][str(period)]["novate"]
    for obligor, cohorts in closed["cohorts"].items():
        own = closed["pre_novation"]["O"] if obligor == "O" and leaver else None
        for month, points in cohorts.items():
            kept = points if own is None else min(points, own)
            yield obligor, obligor, int(month), kept
            if points > kept:
                yield obligor, leaver, int(month), points - kept
            own = None if own is None else own - kept


async def _operators_tariff(connection: AsyncConnection, value: int) -> int:
    made = await connection.execute(
        insert(tariffs)
        .values(
            obligor=0,
            funding=Funding.AT_ISSUE.value,
            issue_price_micro=value,
            redemption_value_micro=value,
            currency="RUB",
            breakage_share_ppm=0,
        )
        .returning(tariffs.c.id)
    )
    return int(made.scalar_one())


def _ppm(share: list[int]) -> int:
    return share[0] * 1_000_000 // share[1]
