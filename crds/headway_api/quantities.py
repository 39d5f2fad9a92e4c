"""Kubernetes quantities as numbers."""

from __future__ import annotations

import re
from decimal import Decimal

PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$"
MAX_LENGTH = 32
FORM = "must be a quantity: a number with an optional suffix, like 500m, 2 or 8Gi"

_SUFFIXES = {"": Decimal(1), "m": Decimal("0.001"), "k": Decimal(1000)}
_SUFFIXES |= {unit: Decimal(1000) ** power for power, unit in enumerate("MGTP", start=2)}
_SUFFIXES |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTP", start=1)}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?")


def parse(quantity: str | int) -> Decimal:
    """The value of a quantity in its base unit (cores, bytes, pieces).

    Raises ValueError, with the allowed form in words, on anything that is no quantity.
    """
    if isinstance(quantity, int):
        if isinstance(quantity, bool) or quantity < 0:
            raise ValueError(FORM)
        return Decimal(quantity)
    match = _QUANTITY.fullmatch(quantity) if len(quantity) <= MAX_LENGTH else None
    if match is None:
        raise ValueError(FORM)
    return Decimal(match[1]) * _SUFFIXES[match[2] or ""]
