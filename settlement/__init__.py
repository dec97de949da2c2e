"""Settlement: what each partner pays or receives for a period, and how anyone may check it."""

from . import audits, issued, periods, proof
from .close import BucketsBehind, EarlierPeriodOpen, PeriodNotEnded, advance
from .netting import Mode
from .periods import Period, PeriodUnknown, Reached, Stage
from .sheet import Sheet, SheetLine
from .simulate import simulate
from .statements import Age, Entry, Points, Statement, StatementUnknown

__all__ = [
    "Age",
    "BucketsBehind",
    "EarlierPeriodOpen",
    "Entry",
    "Mode",
    "Period",
    "PeriodNotEnded",
    "PeriodUnknown",
    "Points",
    "Reached",
    "Sheet",
    "SheetLine",
    "Stage",
    "Statement",
    "StatementUnknown",
    "advance",
    "audits",
    "issued",
    "periods",
    "proof",
    "simulate",
]
