"""A ledger that has lived: bucket 7 has six blocks in two periods, the first one sealed."""

from __future__ import annotations

from datetime import UTC, datetime

from ledger import Item, Ledger, ReceiptKey
from ledger.evidence import sealing
from ledger.evidence.seal_keys import SealKeys
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from tests.ledger.builders import MEMBER, START, a_burn, an_authorization, an_earn
from tests.ledger.instances import extend_calendar
from tests.servers import Urls

BUCKET = MEMBER >> 56
OTHER = compose(BUCKET, 2)
KEYS = SealKeys([bytes(32)])

RECEIPT = ReceiptKey(outlet=0, terminal="till", number="n1")
ITEMS = (Item(line=0, quantity_milli=1000, money_micro=70_000_000, points_earned=7),)


async def live(urls: Urls) -> None:
    """Post ten operations, six of them in the second block, and seal January."""
    database = await Database.open(writer_url=urls.writer, reader_url=urls.reader)
    await extend_calendar(database)
    ledger = Ledger(database, DrivenClock(START))
    await ledger.start()
    await ledger.submit(an_earn(100))
    await ledger.submit_many(
        [
            an_earn(40, member=OTHER),
            a_burn(30),
            an_authorization(20),
            a_burn(99_999),
            an_earn(7, partner=2, detail=b"the receipt", receipt=RECEIPT, items=ITEMS),
            a_burn(10, member=OTHER),
        ]
    )
    await ledger.submit(an_earn(5, member=OTHER))
    await ledger.advance(datetime(2026, 2, 2, tzinfo=UTC))
    await ledger.submit(an_earn(9))
    await ledger.drain()
    async with database.writer.begin() as connection:
        (span,) = await sealing.due(connection)
        await sealing.seal_period(connection, span, KEYS, at=START)
    await database.close()
