"""The files that the pages of headway ui load: what was vendored is as it was released, and all of it is installed."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[4]
STATIC = ROOT / "cli" / "headway_cli" / "ui" / "static"
VENDOR = STATIC / "vendor"
OWN = sorted(path for path in STATIC.iterdir() if path.suffix in (".css", ".js"))
_GROUNDS = ("ground", "raised")
_AA_TEXT, _AA_GRAPHICS = 4.5, 3.0
"""The least contrast of WCAG 2.2 AA, of text (1.4.3) and of what a drawing is understood by (1.4.11)."""


def test_what_was_vendored_is_byte_for_byte_what_was_released() -> None:
    told = json.loads((VENDOR / "vendored.json").read_text())
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name != "vendored.json"
    }
    assert found == told["sha256"]
    assert f"(v{told['version']})" in (VENDOR / "uPlot.iife.min.js").read_text()[:100]
    assert told["licence"] in (VENDOR / "uPlot.LICENSE.txt").read_text()


@pytest.mark.parametrize(("builder", "folder"), [(WheelBuilder, "headway_cli"), (SdistBuilder, "cli/headway_cli")])
def test_wheel_and_source_have_every_file_of_the_pages(builder: type, folder: str) -> None:
    packed = {file.distribution_path for file in builder(str(ROOT)).recurse_included_files()}
    wanted = {
        f"{folder}/{path.relative_to(STATIC.parents[1])}"
        for path in STATIC.parent.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert f"{folder}/ui/static/vendor/uPlot.iife.min.js" in wanted
    assert wanted - packed == set()


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_our_own_files_load_nothing_from_elsewhere_and_make_no_code_of_text(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"https?:|@import|url\(|\beval\b|new Function|innerHTML|outerHTML|document\.write", text) == []
    assert len(text.splitlines()) < (600 if path.suffix == ".css" else 400)


def _tokens(scheme: str) -> dict[str, str]:
    """The colours of `light` or `dark`."""
    blocks = re.findall(r":root \{(.*?)\}", (STATIC / "style.css").read_text(), re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return light if scheme == "light" else dark


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2 of two colours."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_contrast_is_counted_as_wcag_defines_it() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground_as_wcag_aa_asks(scheme: str) -> None:
    colours = _tokens(scheme)
    pairs = [(text, ground) for text in ("text", "muted", "accent", "good", "warn", "bad") for ground in _GROUNDS]
    pairs += [(name, f"{name}-ground") for name in ("good", "warn", "bad")]
    pairs += [("text", f"{name}-ground") for name in ("good", "warn", "bad", "plain")]
    faint = {pair: ratio for pair in pairs if (ratio := _contrast(*(colours[name] for name in pair))) < _AA_TEXT}
    assert faint == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_of_curves_and_edges_of_controls_stand_out_from_their_ground(scheme: str) -> None:
    colours = _tokens(scheme)
    names = ["edge", "best", *(name for name in colours if name.startswith(("series-", "fifth-")))]
    assert len(names) == 13
    faint = {name: ratio for name in names if (ratio := _contrast(colours[name], colours["ground"])) < _AA_GRAPHICS}
    assert faint == {}


def test_both_schemes_have_the_same_colours() -> None:
    assert _tokens("light").keys() == _tokens("dark").keys()
