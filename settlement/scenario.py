"""A scenario: what happened between partners over some periods, as read from a file.

The file is JSON with `funding`, `periods`, `tariff` and, if any, `short_payments_micro`, at its
top or under `inputs`. Partners are named; the operator is `O`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from ledger.kernel.refusals import InvalidInput, Refusal
from partners.terms import Funding

OPERATOR_NAME: Final = "O"
FUNDINGS: Final = {"I": Funding.AT_ISSUE, "R": Funding.AT_REDEMPTION}
MAX_POINTS: Final = 2**53


class UnknownPartner(Refusal):
    """A partner is named that `funding` does not list."""

    code = "PARTNER_UNKNOWN"


class UnknownFunding(Refusal):
    """A partner's points are funded in a way that does not exist."""

    code = "FUNDING_UNKNOWN"


class TariffMissing(Refusal):
    """A price, or all of them, is not there."""

    code = "TARIFF_MISSING"


class PointsInvalid(Refusal):
    """A number of points is not a whole number of at least 0."""

    code = "POINTS_INVALID"


class PointsExceeded(Refusal):
    """More points are taken than members hold, or more given back than were taken."""

    code = "INSUFFICIENT_POINTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioPeriod:
    """Points of one period by obligor, or by obligor and redeemer; `leaving` hand theirs over."""

    ordinal: int
    earned: Mapping[str, int]
    clawed_back: Mapping[str, int]
    expired: Mapping[str, int]
    burned: Mapping[tuple[str, str], int]
    returned: Mapping[tuple[str, str], int]
    late: Mapping[tuple[str, str], int]
    disputed: Mapping[tuple[str, str], int]
    leaving: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Partners with their funding, prices, periods in order, and what was paid short in each."""

    funding: Mapping[str, Funding]
    issue_price_micro: int
    redemption_value_micro: int
    fee: Fraction
    breakage_share: Fraction
    periods: tuple[ScenarioPeriod, ...]
    short_micro: Mapping[tuple[int, str], int]


def read(text: str) -> Scenario:
    """The scenario in a file's text. Raises a `Refusal` that names the first wrong value."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the file is not JSON: {error}") from None
    root = _Node(document, ())
    inputs = root.child("inputs") if root.has("inputs") else root
    funding = _funding(inputs.child("funding"))
    tariff = _either(inputs, root, "tariff")
    if tariff is None:
        raise TariffMissing("the scenario has no tariff", field=("tariff",))
    shorts = _either(inputs, root, "short_payments_micro")
    periods = tuple(sorted(_periods(inputs.child("periods"), funding), key=lambda period: period.ordinal))
    return Scenario(
        funding=funding,
        issue_price_micro=_price(tariff, "issue_price_micro"),
        redemption_value_micro=_price(tariff, "redemption_value_micro"),
        fee=_share(tariff, "fee"),
        breakage_share=_share(tariff, "breakage_share_to_issuer"),
        periods=periods,
        short_micro=_shorts(shorts, funding, periods) if shorts else {},
    )


class _Node:
    """A value of the file and the path that leads to it."""

    def __init__(self, value: Any, path: tuple[str, ...]) -> None:
        self.value, self.path = value, path

    @property
    def name(self) -> str:
        return ".".join(self.path) or "the file"

    def has(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def child(self, key: str) -> _Node:
        if not self.has(key):
            raise InvalidInput(f"{self.name} has no {key}", field=(*self.path, key))
        return _Node(self.value[key], (*self.path, key))

    def items(self) -> Iterator[tuple[str, _Node]]:
        if not isinstance(self.value, dict):
            raise InvalidInput(f"{self.name} is not an object", field=self.path)
        for key, value in self.value.items():
            yield key, _Node(value, (*self.path, key))

    def whole(self) -> int:
        if type(self.value) is not int:  # a bool is an int to Python, and not to us
            raise InvalidInput(f"{self.name} is not a whole number", field=self.path)
        return self.value

    def points(self) -> int:
        if type(self.value) is not int or not 0 <= self.value <= MAX_POINTS:
            raise PointsInvalid(f"{self.name} is not a whole number of points, 0 or more", field=self.path)
        return self.value


def _either(inputs: _Node, root: _Node, key: str) -> _Node | None:
    for node in (inputs, root):
        if node.has(key):
            return node.child(key)
    return None


def _funding(node: _Node) -> dict[str, Funding]:
    funding = {OPERATOR_NAME: Funding.AT_ISSUE}
    for name, value in node.items():
        if not isinstance(value.value, str) or value.value not in FUNDINGS:
            raise UnknownFunding(
                f"{value.name} is neither I (at issue) nor R (at redemption)", field=value.path
            )
        funding[name] = FUNDINGS[value.value]
    if funding[OPERATOR_NAME] is not Funding.AT_ISSUE:
        raise UnknownFunding("the operator funds its campaigns at issue", field=(*node.path, OPERATOR_NAME))
    return funding


def _price(tariff: _Node, key: str) -> int:
    if not tariff.has(key):
        raise TariffMissing(f"the tariff has no {key}", field=(*tariff.path, key))
    price = tariff.child(key)
    if price.whole() < 0:
        raise InvalidInput(f"{price.name} is negative", field=price.path)
    return price.whole()


def _share(tariff: _Node, key: str) -> Fraction:
    if not tariff.has(key):
        raise TariffMissing(f"the tariff has no {key}", field=(*tariff.path, key))
    share = tariff.child(key)
    match share.value:
        case [int(numerator), int(denominator)] if 0 <= numerator <= denominator and denominator > 0:
            return Fraction(numerator, denominator)
    raise InvalidInput(f"{share.name} is not a share [numerator, denominator] of 0 to 1", field=share.path)


def _periods(node: _Node, funding: Mapping[str, Funding]) -> Iterator[ScenarioPeriod]:
    for key, period in node.items():
        yield ScenarioPeriod(
            ordinal=_ordinal(key, period.path),
            earned=_by_obligor(period, "earn", funding),
            clawed_back=_by_obligor(period, "claw", funding),
            expired=_by_obligor(period, "expire", funding),
            burned=_by_pair(period, "burn", funding),
            returned=_by_pair(period, "burn_refund", funding),
            late=_by_pair(period, "late", funding),
            disputed=_by_pair(period, "dispute", funding),
            leaving=_leaving(period, funding),
        )


def _by_obligor(period: _Node, key: str, funding: Mapping[str, Funding]) -> dict[str, int]:
    if not period.has(key):
        return {}
    return {_known(name, value, funding): value.points() for name, value in period.child(key).items()}


def _by_pair(period: _Node, key: str, funding: Mapping[str, Funding]) -> dict[tuple[str, str], int]:
    if not period.has(key):
        return {}
    return {
        (_known(obligor, row, funding), _redeemer(redeemer, value, funding)): value.points()
        for obligor, row in period.child(key).items()
        for redeemer, value in row.items()
    }


def _leaving(period: _Node, funding: Mapping[str, Funding]) -> tuple[str, ...]:
    if not period.has("novate"):
        return ()
    node = period.child("novate")
    names = node.value if isinstance(node.value, list) else [node.value]
    for name in names:
        if not isinstance(name, str) or name == OPERATOR_NAME:
            raise UnknownPartner(f"{node.name} is not the name of a partner", field=node.path)
        _known(name, node, funding)
    return tuple(names)


def _shorts(
    node: _Node, funding: Mapping[str, Funding], periods: tuple[ScenarioPeriod, ...]
) -> dict[tuple[int, str], int]:
    ordinals = {period.ordinal for period in periods}
    short: dict[tuple[int, str], int] = {}
    for key, row in node.items():
        ordinal = _ordinal(key, row.path)
        if ordinal not in ordinals:
            raise InvalidInput(f"{row.name} is not one of the periods", field=row.path)
        short |= {(ordinal, _redeemer(name, value, funding)): value.whole() for name, value in row.items()}
    return short


def _ordinal(key: str, path: tuple[str, ...]) -> int:
    if not (key.isascii() and key.isdigit() and len(key) <= 9 and key == str(int(key))):
        raise InvalidInput(f"{'.'.join(path)} is not the number of a period", field=path)
    return int(key)


def _known(name: str, node: _Node, funding: Mapping[str, Funding]) -> str:
    if name not in funding:
        raise UnknownPartner(f"{node.name} names {name!r}, which funding does not list", field=node.path)
    return name


def _redeemer(name: str, node: _Node, funding: Mapping[str, Funding]) -> str:
    """A partner that accepts points or pays; the operator does neither."""
    if name == OPERATOR_NAME:
        raise UnknownPartner(f"{node.name} names the operator in a partner's place", field=node.path)
    return _known(name, node, funding)
