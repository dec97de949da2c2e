"""What `make mutants` came to: how many broken versions of the arithmetic its tests noticed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

GOAL_PERCENT = 90
FIGURES = Path("mutants/mutmut-cicd-stats.json")


def main() -> None:
    """Print the score; exit code 1 when it is below the goal."""
    found = json.loads(FIGURES.read_text())
    noticed = found["killed"] + found["timeout"]
    percent = 100 * noticed / found["total"]
    print(f"{noticed} of {found['total']} mutants noticed: {percent:.1f} % (the goal is {GOAL_PERCENT} %)")
    sys.exit(0 if percent >= GOAL_PERCENT else 1)


if __name__ == "__main__":
    main()
