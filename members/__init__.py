"""Members: who holds points. Identity, cards, consents and personal data; no prices, no points."""

from .consents import Consent, consents_of
from .enrolment import Enrolled, enrol, enrolled_before
from .finding import Found, find, find_many
from .handles import Handles
from .identifiers import MemberForgotten, MemberNotFound, read_card, read_phone
from .keys import MasterKeys, UnknownKeyVersion
from .merging import Merged, SamePerson, merge_members
from .newcomers import (
    Arrival,
    CardTaken,
    Newcomer,
    PhoneTaken,
    enrol_many,
    read_newcomer,
    who_is_known,
)
from .privacy import forget
from .profile import Profile, profile
from .rotation import reindex, rewrap, under_older
from .tokens import MemberTokenExpired, Presented, StepUpRequired, Tokens, make_token

__all__ = [
    "Arrival",
    "CardTaken",
    "Consent",
    "Enrolled",
    "Found",
    "Handles",
    "MasterKeys",
    "MemberForgotten",
    "MemberNotFound",
    "MemberTokenExpired",
    "Merged",
    "Newcomer",
    "PhoneTaken",
    "Presented",
    "Profile",
    "SamePerson",
    "StepUpRequired",
    "Tokens",
    "UnknownKeyVersion",
    "consents_of",
    "enrol",
    "enrol_many",
    "enrolled_before",
    "find",
    "find_many",
    "forget",
    "make_token",
    "merge_members",
    "profile",
    "read_card",
    "read_newcomer",
    "read_phone",
    "reindex",
    "rewrap",
    "under_older",
    "who_is_known",
]
