"""Whether quotes in a csv file stand where they belong: one mark too many can swallow thousands of rows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from headway_trainer.data.read.streams import line_ends
from headway_trainer.errors import UserError

_MOST_KEPT = 4 * 1024 * 1024
"""Bytes of a value over several lines that are looked at."""
_LONGEST_LINE = 64 * 1024 * 1024
"""Bytes that are kept while the end of a line is waited for."""
_LINE = re.compile(rb"\r\n|\n|\r")


class QuoteScan:
    """Counts lines, and line breaks within quotes, of the chunks that pass; refuses quotes that swallow rows.

    A quote opens a value at its beginning alone, and two within it are one; elsewhere it is a sign like others.
    """

    def __init__(self, uri: str, quote: str, delimiter: str, columns: int, first_line: int, *, trusted: bool) -> None:
        """first_line: lines before the chunks. trusted: the job names the quote, so values may look like rows."""
        self.lines = 0
        """Ends of lines so far."""
        self.breaks = 0
        """Those of them within quotes."""
        self.longest = (0, 0)
        """The line breaks of the value with the most of them, and the line where it begins."""
        self.ends_in_line = False
        """Whether the last line has no end."""
        self._uri, self._quote, self._delimiter, self._columns = uri, quote.encode(), delimiter.encode(), columns
        self._first_line, self._trusted = first_line, trusted
        self._inside = False
        self._opened = 0
        self._kept: list[bytes] = []
        sign, ends = re.escape(self._quote), re.escape(self._delimiter) + rb"\r\n"
        self._opening = re.compile(rb"(?<=[" + ends + rb"])" + sign)
        self._closing = re.compile(rb"((?:[^" + sign + rb"]++|" + sign * 2 + rb")*+)" + sign)
        self._around = np.frombuffer(self._delimiter + b"\r\n" + self._quote, np.uint8)

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks, each looked at before it is handed on."""
        held = b""
        last = b"\n"
        for chunk in chunks:
            # Whole lines, as what follows a quote tells what it is, and values seldom go over lines.
            whole = held + chunk if held else chunk
            end = whole.rfind(b"\n") + 1 or whole.rfind(b"\r", 0, -1) + 1
            ready = whole[:end] if end or len(whole) < _LONGEST_LINE else whole.rstrip(self._quote)
            held = whole[len(ready) :]
            if not ready:
                continue
            self._look(last, ready)
            last = ready[-1:] or last
            yield ready
        self._look(last, held)
        self.ends_in_line = not self._inside and (held or last)[-1:] not in (b"\n", b"\r")
        if self._inside:
            raise UserError(
                f"{self._uri}: the quote that opens in line {self._opened} is never closed: take it out, or double it "
                "where it is part of a value"
            )
        yield held

    def _look(self, last: bytes, data: bytes) -> None:
        """Look at data, which comes after the byte last."""
        if self._quote in data and not self._is_plain(last + data):
            self._walk(last + data)
        elif self._inside and self._quote not in data:
            self._keep(data)
        self.lines += line_ends(data)

    def _is_plain(self, data: bytes) -> bool:
        """Whether all quotes stand where they belong, and no line breaks are within them: the common case, quickly."""
        if self._inside:
            return False
        letters = np.frombuffer(data, np.uint8)
        signs = np.flatnonzero(letters == self._quote[0])
        if len(signs) % 2 or not self._belong(letters, signs):
            return False
        ends = np.flatnonzero((letters == ord("\n")) | (letters == ord("\r")))
        return not bool((np.searchsorted(signs, ends) % 2).any())

    def _belong(self, letters: npt.NDArray[np.uint8], signs: npt.NDArray[np.int64]) -> bool:
        after = signs[1::2] + 1
        inner = after[after < len(letters)]
        before_all = np.isin(letters[signs[::2] - 1], self._around)
        return bool(before_all.all() and np.isin(letters[inner], self._around).all())

    def _walk(self, data: bytes) -> None:
        """Go from value to value; data begins with the byte before what is to be looked at."""
        at, counted, lines = 1, 1, self.lines
        while True:
            if not self._inside:
                opening = self._opening.search(data, at)
                if opening is None:
                    return
                at = opening.end()
                self._inside = True
                lines += line_ends(data[counted:at])
                counted = at
                self._opened = self._first_line + lines + 1
            closing = self._closing.match(data, at)
            if closing is None:
                self._keep(data[at:])
                return
            self._keep(closing[1])
            self._inside = False
            at = closing.end()
            self._judge(data[at - 2 : at - 1], data[at : at + 1])

    def _keep(self, data: bytes) -> None:
        self.breaks += line_ends(data)
        if sum(map(len, self._kept)) < _MOST_KEPT:
            self._kept.append(data)

    def _judge(self, last: bytes, after: bytes) -> None:
        """Whether a quoted value that has just ended before the byte after can be one."""
        value, self._kept = b"".join(self._kept), []
        lines = _LINE.split(value)
        breaks = len(lines) - 1
        self.longest = max(self.longest, (breaks, self._opened))
        ends_well = after in (self._delimiter, b"\r", b"\n", b"")
        if not ends_well and last == b"\\":
            raise UserError(
                f"{self._uri}: line {self._opened + breaks} has a quote after a backslash: within quotes, write a "
                'quote as two, ""'
            )
        if not breaks or (ends_well and (self._trusted or not self._are_rows(lines))):
            return
        way = "" if not ends_well else "; if these lines are one value, set data.read.quote to the quote"
        raise UserError(
            f"{self._uri}: the quote that opens in line {self._opened} closes only in line {self._opened + breaks} and "
            f"swallows the rows between: take it out, or double it where it is part of a value{way}"
        )

    def _are_rows(self, lines: list[bytes]) -> bool:
        """Whether the lines of one value look like the end of a row, rows, and the beginning of a row."""
        counts = [line.count(self._delimiter) for line in lines]
        whole = self._columns - 1
        return len(lines) > 2 and whole > 0 and counts[0] + counts[-1] == whole and set(counts[1:-1]) == {whole}  # noqa: PLR2004 - a row at least is swallowed whole
