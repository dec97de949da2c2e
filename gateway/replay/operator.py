"""The operator's part in a replay: it founds the coalition, registers clients and drives the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import msgspec

from gateway.unable import Unable

from . import coalition
from .door import Credentials, Payload, Session

_OUTLETS_AT_ONCE: Final = 500


class Operator:
    """The operator's client. What it creates has keys of its own, so a second replay finds it again."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def ensure_programme(self) -> None:
        """Create the programme, or see that the one there is can carry the journey. Raises `Unable`."""
        found = (await self._session.call(_PROGRAMME, {}, _Programmes)).programme
        if found is None:
            fields = {"name": coalition.NAME, "currency": coalition.CURRENCY, "timeZone": str(coalition.ZONE)}
            await self._session.write(
                _CREATE_PROGRAMME, {"idempotencyKey": "journey/programme", **fields}, Payload
            )
        elif (found.currency, found.time_zone) != (coalition.CURRENCY, str(coalition.ZONE)):
            raise Unable(
                f"The programme there counts in {found.currency} and {found.time_zone}; "
                f"the journey needs {coalition.CURRENCY} and {coalition.ZONE}."
            )

    async def create_partner(self, partner: coalition.Partner) -> str:
        """A partner with its agreement; its id."""
        key = f"journey/{partner.key}"
        made = await self._session.write(
            _CREATE_PARTNER, {"idempotencyKey": f"{key}/partner", "name": partner.name}, _Made
        )
        assert made.made is not None, "no refusal"
        terms = _terms(partner.terms)
        agreement = {"idempotencyKey": f"{key}/agreement", "partner": made.made.id, "terms": terms}
        await self._session.write(_MAKE_AGREEMENT, agreement, _Made)
        return made.made.id

    async def open_outlets(self, partners: Sequence[str], outlets: Sequence[tuple[int, str]]) -> None:
        """The stores of every partner; `partners` are ids."""
        for number, partner in enumerate(partners):
            codes = [code for owner, code in outlets if owner == number]
            for first in range(0, len(codes), _OUTLETS_AT_ONCE):
                key = f"journey/{coalition.PARTNERS[number].key}/outlets/{first}"
                named = [
                    {"code": code, "name": f"Store {code[1:]}"}
                    for code in codes[first : first + _OUTLETS_AT_ONCE]
                ]
                given = {"idempotencyKey": key, "partner": partner, "outlets": named}
                await self._session.write(_OPEN_OUTLETS, given, Payload)

    async def create_client(
        self, kind: str, scopes: Sequence[str], *, run: str, partner: str | None = None
    ) -> Credentials:
        """A client for this run alone: a secret is shown once, so that of an earlier run is gone."""
        fields: dict[str, Any] = {"kind": kind, "name": f"Replay {run}", "scopes": list(scopes)}
        if partner is not None:
            fields["partner"] = partner
        key = f"journey/client/{run}/{kind}/{partner or ''}"
        made = await self._session.write(_CREATE_CLIENT, {"idempotencyKey": key, **fields}, _NewClient)
        assert made.client is not None, "no refusal"
        assert made.secret is not None, "a new client without keys has a secret"
        return Credentials(client_id=made.client.client_id, client_secret=made.secret)

    async def advance_clock(self, to: datetime) -> None:
        """Move programme time on; nothing happens when it is later already."""
        await self._session.write(_ADVANCE_CLOCK, {"to": to}, Payload)


def _terms(terms: coalition.Terms) -> dict[str, Any]:
    """The terms as `TermsInput`."""
    return {_camel(name): value for name, value in asdict(terms).items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class _Programme(msgspec.Struct, frozen=True, rename="camel"):
    currency: str
    time_zone: str


class _Programmes(msgspec.Struct, frozen=True):
    programme: _Programme | None


class _Id(msgspec.Struct, frozen=True):
    id: str


class _Made(Payload, frozen=True):
    made: _Id | None = None


class _ClientId(msgspec.Struct, frozen=True, rename="camel"):
    client_id: str


class _NewClient(Payload, frozen=True, rename="camel"):
    client: _ClientId | None = None
    secret: str | None = None


_PROGRAMME: Final = "{ programme { currency timeZone } }"
_CREATE_PROGRAMME: Final = """
mutation Found($input: CreateProgrammeInput!) {
  answer: createProgramme(input: $input) { userErrors { code message } }
}
"""
_CREATE_PARTNER: Final = """
mutation Join($input: CreatePartnerInput!) {
  answer: createPartner(input: $input) { made: partner { id } userErrors { code message } }
}
"""
_MAKE_AGREEMENT: Final = """
mutation Agree($input: MakeAgreementInput!) {
  answer: makeAgreement(input: $input) { made: agreement { id } userErrors { code message } }
}
"""
_OPEN_OUTLETS: Final = """
mutation Open($input: OpenOutletsInput!) {
  answer: openOutlets(input: $input) { userErrors { code message } }
}
"""
_CREATE_CLIENT: Final = """
mutation Register($input: CreateClientInput!) {
  answer: createClient(input: $input) { client { clientId } secret userErrors { code message } }
}
"""
_ADVANCE_CLOCK: Final = """
mutation Advance($input: AdvanceClockInput!) {
  answer: advanceClock(input: $input) { userErrors { code message } }
}
"""
