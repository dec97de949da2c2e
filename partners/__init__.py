"""Partners: who may earn and burn, where and how many points, and on what terms."""

from . import adjustments
from .adjustment import Adjustment, AdjustmentReason
from .adjustments import Proposal
from .agreements import make_agreement
from .answer import Answer, answer_of
from .arming import Armed, ArmRequest, NoNotices, arm_expiry
from .batch import MAX_ITEMS, Request, post_batch
from .burn import AuthorizeRequest, BurnRequest, authorize_burn, burn
from .burn_caps import Cap, CapName
from .days import start_of_day
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
from .donations import DonationRequest, donate_points
from .earn import EarnRequest, earn
from .events import Event, read_events, record
from .freezing import freeze_member, unfreeze_member
from .given import LineGiven, MoneyGiven, ReceiptGiven, TenderGiven, TenderKind
from .grants import GrantRequest, grant_points, known_tariff, make_tariff
from .holds import CaptureRequest, VoidRequest, capture_burn, void_burn
from .limits import DatedLimits, IssuanceWindow, Limits
from .notes import Note, decode_note
from .novation import (
    Novation,
    NovationUnderWay,
    PartnerStillTrading,
    begin_novation,
    drive_novation,
    drive_novations,
    novations_of,
    points_left,
)
from .outlets import OutletExists, open_outlet, reinstate_outlet, suspend_outlet
from .partner import create_partner, reinstate_partner, suspend_partner
from .position import Position, position
from .programme import MOST_NOTICE_DAYS, ProgrammeExists, create_programme, ensure_calendar, limit_programme
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
from .returns import Place, ReturnRequest, explain, read_lines, return_purchase
from .reversals import ReverseRequest, reverse, reverse_for_operator
from .rules import Ruling
from .terms import Funding, RefundOrder, Terms
from .till import Till
from .transfers import Sent, TransferRequest, transfer_points

__all__ = [
    "DELIVERY",
    "GIFT_CARD",
    "MAX_ITEMS",
    "MAX_LINES",
    "MOST_NOTICE_DAYS",
    "Adjustment",
    "AdjustmentReason",
    "Agreement",
    "Answer",
    "Answered",
    "ArmRequest",
    "Armed",
    "AuthorizeRequest",
    "BurnRequest",
    "Cap",
    "CapName",
    "CaptureRequest",
    "DatedLimits",
    "Detail",
    "Directories",
    "Directory",
    "DonationRequest",
    "EarnRequest",
    "Event",
    "Funding",
    "GrantRequest",
    "IssuanceWindow",
    "Limits",
    "Line",
    "LineGiven",
    "LineShare",
    "MoneyGiven",
    "NoNotices",
    "Note",
    "Novation",
    "NovationUnderWay",
    "OccurredAtOutOfRange",
    "Outlet",
    "OutletExists",
    "OutletUnknown",
    "Partner",
    "PartnerStillTrading",
    "PartnerUnknown",
    "Place",
    "Position",
    "Programme",
    "ProgrammeExists",
    "ProgrammeMissing",
    "Proposal",
    "Quote",
    "QuoteRefused",
    "QuoteRequest",
    "QuoteTokens",
    "Receipt",
    "ReceiptGiven",
    "RefundOrder",
    "Request",
    "ReturnRequest",
    "ReverseRequest",
    "Ruling",
    "Sent",
    "Tariff",
    "Tender",
    "TenderGiven",
    "TenderKind",
    "Terms",
    "Till",
    "TransferRequest",
    "VoidRequest",
    "adjustments",
    "answer_of",
    "arm_expiry",
    "authorize_burn",
    "begin_novation",
    "burn",
    "capture_burn",
    "create_partner",
    "create_programme",
    "decode_detail",
    "decode_note",
    "donate_points",
    "drive_novation",
    "drive_novations",
    "earn",
    "ensure_calendar",
    "explain",
    "freeze_member",
    "grant_points",
    "is_answered",
    "known_tariff",
    "limit_programme",
    "make_agreement",
    "make_tariff",
    "novations_of",
    "once",
    "open_outlet",
    "points_left",
    "position",
    "post_batch",
    "quote",
    "read_events",
    "read_lines",
    "read_receipt",
    "record",
    "reinstate_outlet",
    "reinstate_partner",
    "return_purchase",
    "reverse",
    "reverse_for_operator",
    "shown_directory",
    "start_of_day",
    "suspend_outlet",
    "suspend_partner",
    "transfer_points",
    "unfreeze_member",
    "void_burn",
]
