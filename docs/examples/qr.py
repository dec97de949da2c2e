"""The QR code of a member's app, made from the card key alone: what a phone does every 30 seconds.

python3 qr.py CARD_KEY CARD_NUMBER 2026-01-15T09:00:00Z
"""

import base64
import hashlib
import hmac
import sys
from datetime import datetime


def qr(card_key: str, card_number: str, at: datetime) -> str:
    """The 40 characters that the phone shows at `at`; half a minute later they are others."""
    key = base64.urlsafe_b64decode(card_key)
    locator = hmac.digest(key, b"kopilka/locator" + card_number.encode(), hashlib.sha256)[:10]
    head = b"\x01" + locator + (int(at.timestamp()) // 30).to_bytes(4, "big")
    token_key = hmac.digest(key, b"kopilka/token", hashlib.sha256)
    return base64.b32encode(head + hmac.digest(token_key, head, hashlib.sha256)[:10]).decode()


if __name__ == "__main__":
    print(qr(sys.argv[1], sys.argv[2], datetime.fromisoformat(sys.argv[3])))
