"""What GitHub's Markdown says, in the dialect of Python-Markdown: pure functions over the text of a page."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^`{3,}(?P<language>\w*)(?P<words>[^`]*)$")
_ITEM = re.compile(r"([-*]|\d{1,9}\.)\s")
_CODE = re.compile(r"((?P<ticks>`+)[^`].*?(?P=ticks))")
_STARTS = ("|", "```", "<!--", "#")
"""What is a block of its own at the beginning of a line, whatever stands before it."""


def translated(text: str) -> str:
    """A page in Python-Markdown's dialect.

    That one wants an empty line before a list, a table and a fence, and four spaces where an item goes on. It knows no
    words after a fence's language, no `\\<`, and no `\\|` in the code of a table. A block that is saved under a name
    gets that name as its title.
    """
    lines: list[str] = []
    fenced = listed = spread = False  # spread: the item has blocks after an empty line
    for line in text.splitlines():
        before = lines[-1] if lines else ""
        fence, item = _FENCE.match(line), bool(_ITEM.match(line))
        if fenced:
            fenced = not fence
            lines.append(line)
            continue
        if before.strip() and ((item and spread) or _begins_a_block(line, before)):
            lines.append("")
        listed = item or (listed and (line.startswith(" ") or bool(before.strip()) or not line))
        spread = listed and not item and (spread or not line)
        if fence:
            fenced = True
            lines.append(_opened(fence))
        else:
            lines.append("  " * (listed and line.startswith(" ")) + _inline(line))
    return "\n".join(lines) + "\n"


def _begins_a_block(line: str, before: str) -> bool:
    if line.startswith("|"):
        return not before.startswith("|")
    if _ITEM.match(line):
        # What is indented goes on with an item.
        return not (_ITEM.match(before) or before.startswith(" "))
    return line.startswith(_STARTS) or before.startswith(_STARTS)


def _opened(fence: re.Match[str]) -> str:
    named = re.search(r"\bfile=(\S+)", fence["words"])
    title = f' title="{named[1]}"' if named else ""
    return f"```{fence['language'] or 'text'}{title}"


def _inline(line: str) -> str:
    code, row = _CODE.sub, line.lstrip().startswith("|")
    whole = code(lambda match: match[0].replace("\\|", "|") if row else match[0], line)
    # `split` gives what is no code, then the code and its ticks, and so on.
    parts = _CODE.split(whole)
    parts[::3] = [part.replace("\\<", "&lt;") for part in parts[::3]]
    del parts[2::3]
    return "".join(parts)
