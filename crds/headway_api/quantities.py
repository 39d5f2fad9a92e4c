"""Kubernetes quantities as numbers."""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {"": Decimal(1), "m": Decimal("0.001"), "k": Decimal(1000)}
_SUFFIXES |= {unit: Decimal(1000) ** power for power, unit in enumerate("MGTP", start=2)}
_SUFFIXES |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTP", start=1)}
_QUANTITY = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$")


def parse(quantity: str | int) -> Decimal:
    """The value of a quantity in its base unit (cores, bytes, pieces).

    Raises ValueError, with a sentence for the user, on anything that is no quantity.
    """
    match = _QUANTITY.match(str(quantity))
    if match is None or isinstance(quantity, bool):
        raise ValueError(
            f"{str(quantity)[:64]!r} is not a quantity: write a number with an optional suffix, like 500m, 2 or 8Gi"
        )
    return Decimal(match[1]) * _SUFFIXES[match[2] or ""]
