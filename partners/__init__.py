"""Partners: who may earn and burn, where and how many points, and on what terms."""

from .agreements import make_agreement
from .answer import Answer, answer_of
from .batch import MAX_ITEMS, Request, post_batch
from .burn import AuthorizeRequest, BurnRequest, authorize_burn, burn
from .burn_caps import Cap, CapName
from .detail import Detail, LineShare, decode_detail
from .directories import Directories, shown_directory
from .directory import (
    Agreement,
    Directory,
    Outlet,
    OutletUnknown,
    Partner,
    PartnerUnknown,
    Programme,
    ProgrammeMissing,
    Tariff,
)
from .earn import EarnRequest, earn
from .events import Event, read_events, record
from .given import LineGiven, MoneyGiven, ReceiptGiven, TenderGiven, TenderKind
from .holds import CaptureRequest, VoidRequest, capture_burn, void_burn
from .outlets import OutletExists, open_outlet, reinstate_outlet, suspend_outlet
from .partner import create_partner, reinstate_partner, suspend_partner
from .position import Position, position
from .programme import ProgrammeExists, create_programme, ensure_calendar
from .quote import Quote, QuoteRefused, QuoteRequest, quote
from .quote_token import QuoteTokens
from .receipts import (
    DELIVERY,
    GIFT_CARD,
    MAX_LINES,
    Line,
    OccurredAtOutOfRange,
    Receipt,
    Tender,
    read_receipt,
)
from .requests import Answered, is_answered, once
from .rules import Ruling
from .terms import Funding, RefundOrder, Terms
from .till import Till

__all__ = [
    "DELIVERY",
    "GIFT_CARD",
    "MAX_ITEMS",
    "MAX_LINES",
    "Agreement",
    "Answer",
    "Answered",
    "AuthorizeRequest",
    "BurnRequest",
    "Cap",
    "CapName",
    "CaptureRequest",
    "Detail",
    "Directories",
    "Directory",
    "EarnRequest",
    "Event",
    "Funding",
    "Line",
    "LineGiven",
    "LineShare",
    "MoneyGiven",
    "OccurredAtOutOfRange",
    "Outlet",
    "OutletExists",
    "OutletUnknown",
    "Partner",
    "PartnerUnknown",
    "Position",
    "Programme",
    "ProgrammeExists",
    "ProgrammeMissing",
    "Quote",
    "QuoteRefused",
    "QuoteRequest",
    "QuoteTokens",
    "Receipt",
    "ReceiptGiven",
    "RefundOrder",
    "Request",
    "Ruling",
    "Tariff",
    "Tender",
    "TenderGiven",
    "TenderKind",
    "Terms",
    "Till",
    "VoidRequest",
    "answer_of",
    "authorize_burn",
    "burn",
    "capture_burn",
    "create_partner",
    "create_programme",
    "decode_detail",
    "earn",
    "ensure_calendar",
    "is_answered",
    "make_agreement",
    "once",
    "open_outlet",
    "position",
    "post_batch",
    "quote",
    "read_events",
    "read_receipt",
    "record",
    "reinstate_outlet",
    "reinstate_partner",
    "shown_directory",
    "suspend_outlet",
    "suspend_partner",
    "void_burn",
]
