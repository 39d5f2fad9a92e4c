"""Numbers as people write them: thousands, decimal commas, currencies, per cent, typographic minus. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

_CURRENCY = r"[$€£¥₹]|USD|EUR|GBP|CHF|JPY"
_SPACES = "[\u00a0\u2009\u202f]"
_MINUS = "[\u2212\u2013]"
PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
"""A number as programs write it, as RE2 has it."""
_SIGNS = {",": "','", ".": "'.'", "'": "an apostrophe", " ": "blanks", "_": "'_'"}


@dataclass(frozen=True)
class Notation:
    """Which sign stands before the decimals of a number, and which groups its digits."""

    decimal: str
    thousands: str

    def read(self, bare: pa.Array) -> pa.Array:
        """Numbers, double, of bare text; null for what is not written so. Codes that begin with a zero are not."""
        group = _escape(self.thousands)
        whole = r"(0|[1-9]\d*|[1-9]\d{0,2}(" + group + r"\d{3})+)"
        fits = pc.match_substring_regex(
            bare, rf"^-?({whole}({_escape(self.decimal)}\d*)?|{_escape(self.decimal)}\d+)([eE][+-]?\d+)?$"
        )
        plain = pc.replace_substring(bare, self.thousands, "")
        plain = plain if self.decimal == "." else pc.replace_substring(plain, self.decimal, ".")
        return pc.if_else(fits, plain, pa.scalar(None, pa.string())).cast(pa.float64())


NOTATIONS = (
    Notation(".", ","), Notation(",", "."), Notation(".", "'"), Notation(",", "'"), Notation(".", " "),
    Notation(",", " "),
)  # fmt: skip
"""Those that are tried where the job names none."""


def notations(decimal: str | None, thousands: str | None) -> tuple[Notation, ...]:
    """The notations that the job leaves open. A sign that it names in one role has no other."""
    if decimal is None and thousands is None:
        return NOTATIONS
    if thousands is not None:
        return (Notation(decimal or ("," if thousands == "." else "."), thousands),)
    return tuple(notation for notation in NOTATIONS if notation.decimal == decimal)


@dataclass(frozen=True)
class Bare:
    """Values without what stands around their digits, and what that was."""

    values: pa.Array
    currencies: frozenset[str]
    percents: frozenset[bool]
    """Whether values are per cent: both, where some are."""
    signs: frozenset[str]
    """Which of the signs that part digits there are."""
    dressed: frozenset[str]
    """Other ways to write that there are: `a typographic minus`, `minus as brackets`."""

    def beside(self, other: Bare | None = None, percents: frozenset[bool] = frozenset()) -> Bare:
        """What is around these values and those of other."""
        other = other or NOTHING
        return Bare(
            self.values,
            self.currencies | other.currencies,
            self.percents | other.percents | percents,
            self.signs | other.signs,
            self.dressed | other.dressed,
        )


NOTHING = Bare(pa.array([], pa.string()), frozenset(), frozenset(), frozenset(), frozenset())
"""No values."""


def strip(values: pa.Array) -> Bare:
    """Take currency, per cent, plus, brackets and unusual minus signs and blanks off trimmed values without null."""
    minus = pc.match_substring_regex(values, _MINUS)
    text = pc.replace_substring_regex(values, _MINUS, "-")
    text = pc.replace_substring_regex(text, _SPACES, " ")
    brackets = pc.match_substring_regex(text, r"^\(.*\)$")
    text = pc.replace_substring_regex(text, r"^\((.*)\)$", r"-\1")
    percent = pc.ends_with(text, "%")
    text = pc.replace_substring_regex(text, r"\s?%$", "")
    found = set()
    for pattern, kept in ((rf"^(?P<s>[-+]?)\s?(?P<c>{_CURRENCY})\s?", r"\1"), (rf"\s?(?P<c>{_CURRENCY})$", "")):
        caught = pc.extract_regex(text, pattern)
        found |= set(pc.unique(pc.struct_field(caught.drop_null(), "c")).to_pylist())
        text = pc.replace_substring_regex(text, pattern, kept)
    text = pc.replace_substring_regex(text, r"^\+", "")
    dressed = {
        name
        for name, there in (("a typographic minus", minus), ("minus as brackets", brackets))
        if pc.any(there).as_py()
    }
    return Bare(
        text,
        frozenset(found),
        frozenset(pc.unique(percent).to_pylist()),
        frozenset(sign for sign in ",.' " if pc.any(pc.match_substring(text, sign)).as_py()),
        frozenset(dressed),
    )


def choose(alive: Sequence[Notation], signs: frozenset[str]) -> Notation | None:
    """The one of the notations that fit all values; none where they would make different numbers of them."""
    meant = {(n.decimal if n.decimal in signs else "", n.thousands if n.thousands in signs else ""): n for n in alive}
    return next(iter(meant.values())) if len(meant) == 1 else None


def words(notation: Notation, bare: Bare) -> str:
    """How numbers are written, in words: `'$' before or after, ',' between thousands`."""
    told = [f"{_SIGNS[notation.thousands]} between thousands"] if notation.thousands in bare.signs else []
    told += ["a decimal comma"] if notation.decimal == "," and "," in bare.signs else []
    told += [f"the currency {currency}" for currency in bare.currencies]
    told += ["per cent, of which 12% is read as 12"] if bare.percents == {True} else []
    return "with " + ", ".join([*told, *sorted(bare.dressed)]) if told or bare.dressed else "with a plus sign"


def _escape(sign: str) -> str:
    return "\\" + sign if sign == "." else sign
