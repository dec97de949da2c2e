"""The ledger: what is owed, for ever. It accepts commands, decides, appends, and proves."""

from . import fence, flows, records, stock
from .commands import (
    Authorize,
    Burn,
    Capture,
    Command,
    Earn,
    Item,
    MoneyLine,
    Open,
    OpeningLot,
    PassFence,
    PostMoney,
    ReceiptKey,
    Refused,
    Settle,
    Void,
)
from .engine import Ledger
from .flows import Flow
from .lane import LedgerFault
from .outcomes import Balance, Outcome, SliceTaken
from .records import Recorded
from .stock import Stock

__all__ = [
    "Authorize",
    "Balance",
    "Burn",
    "Capture",
    "Command",
    "Earn",
    "Flow",
    "Item",
    "Ledger",
    "LedgerFault",
    "MoneyLine",
    "Open",
    "OpeningLot",
    "Outcome",
    "PassFence",
    "PostMoney",
    "ReceiptKey",
    "Recorded",
    "Refused",
    "Settle",
    "SliceTaken",
    "Stock",
    "Void",
    "accounts",
    "fence",
    "flows",
    "proof",
    "records",
    "stock",
]
