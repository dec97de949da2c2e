"""Why a command cannot go on: one sentence for the person who typed it."""

from __future__ import annotations

import errno


class Unable(Exception):
    """Something outside the code is in the way; the message says what, and what to do about it."""


def explain(error: OSError, doing: str) -> Unable:
    """`error`, met while `doing` something ("writing the data folder /x"), in one sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unable(f"The disk is full: {doing} needs more room; free some and start again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Unable(f"{doing[:1].upper()}{doing[1:]} is not permitted: {error.strerror}.")
    return Unable(f"{doing[:1].upper()}{doing[1:]} failed: {error.strerror or error}.")
