"""`python -m vaportrail_journal FILE [TIME]`: what stood at that time (ISO 8601, UTC), by the journal."""

import sys
from pathlib import Path
from typing import Any

from vaportrail_journal.lines import read, standing


def describe(key: tuple[Any, ...], unit: dict[str, Any]) -> str:
    """vip 5 10.9.0.100 default-domain:p:web tcp/80: 10.9.0.3:8080"""
    words = [*map(str, key), *([unit["name"]] if "name" in unit else ())]
    words += [str(one["address"] if isinstance(one, dict) else one) for one in unit.get("addresses", ())]
    listeners = [
        f"{one['protocol']}/{one['port']}: "
        + (", ".join(f"{member['address']}:{member['port']}" for member in one["members"]) or "nobody")
        for one in unit.get("listeners", ())
    ]
    return " ".join(words) + (f" {'; '.join(listeners)}" if listeners else "")


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m vaportrail_journal FILE [TIME]")
    try:
        found = standing(read(Path(sys.argv[1])), *sys.argv[2:])
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    for key, unit in sorted(found.items(), key=str):
        print(describe(key, unit))


if __name__ == "__main__":
    main()
