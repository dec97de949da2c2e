"""Tallies: what moved between two kinds of account, hour by hour and by both clocks.

They make the balances of a partner and of the programme as of any instant a sum of few rows. The
worker folds history into them behind the tills; what it has not reached yet is read from the lines.
"""

from .folding import fold
from .standing import PartnerStanding, Standing, partner_as_of, programme_as_of
from .tables import tallies, tally_late, tally_marks

__all__ = [
    "PartnerStanding",
    "Standing",
    "fold",
    "partner_as_of",
    "programme_as_of",
    "tallies",
    "tally_late",
    "tally_marks",
]
