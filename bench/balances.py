"""A file of opening balances of any size, to try an import with: `python -m bench.balances 100000 FILE`."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path


def rows(count: int) -> Iterator[dict[str, object]]:
    """`count` members with one to four lots of the partners 1 and 2, then the control totals."""
    chance = random.Random(1)
    totals = {"1": 0, "2": 0}
    for number in range(count):
        lots = []
        for _ in range(chance.randint(1, 4)):
            issuer, points = chance.choice("12"), chance.randint(1, 5_000)
            totals[issuer] += points
            lots.append({"issuer": issuer, "points": points, "earned": "2025-01-15", "expires": "2099-12-31"})
        phone = f"+79{number + 10_000_000:09d}"
        yield {"member": f"old-{number}", "phone": phone, "consents": {"marketing_sms": True}, "lots": lots}
    yield {"control": {"members": count, "points": totals}}


def main() -> None:
    """Write the file."""
    count, file = int(sys.argv[1]), Path(sys.argv[2])
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows(count))


if __name__ == "__main__":
    main()
