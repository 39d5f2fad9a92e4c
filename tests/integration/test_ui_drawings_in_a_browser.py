"""Trials and deployments in a real browser: by the keyboard, light and dark, on a phone, and while things change.

HEADWAY_PICTURES=docs/images/ui keeps the pictures there: they are those of docs/how-to/web-page.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

import made_searches
from browser import Browser, Page
from fake_kubectl import FakeKubectl, listed
from harness import ROOT
from headway_cli.cluster.kubectl import Target
from headway_cli.ui.asking import Site
from made_deployments import DRIFT, canary, event
from ui_server import serving

NOW = datetime(2026, 11, 29, 19, 33, 9, tzinfo=UTC)
TRIALS, DIGITS = "/jobs/default/search/trials", "/deployments/default/digits"
COLOURS = 200
PAGES = {
    TRIALS: "document.querySelectorAll('svg.drawing').length === 3",
    f"{TRIALS}/3": "document.querySelector('.uplot canvas')",
    "/deployments": "document.querySelector('#deployments table')",
    DIGITS: "document.querySelector('#rollout table')",
}
"""Addresses, and what is there once a page is whole."""
PICTURES = {
    "trials": (TRIALS, "light", 1280, 1180),
    "trials-dark": (TRIALS, "dark", 1280, 900),
    "trial": (f"{TRIALS}/3", "light", 1280, 860),
    "trials-phone": (TRIALS, "light", 390, 900),
    "deployments": ("/deployments", "light", 1280, 340),
    "deployment": (DIGITS, "light", 1280, 1760),
    "deployment-dark": (DIGITS, "dark", 1280, 900),
}
"""Address, scheme, and size in pixels, by the name of the picture."""
CONTROLS = (
    "select", "button Draw", "svg validation/loss by training.optimizer.lr", "svg validation/loss by trial",
    "svg 115 trials over", "div Trials", "a Worse", "button Copy: headway trials",
)  # fmt: skip
"""Of the page of trials, as its tag and the beginning of its name."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A search of 120 trials and two deployments: where it is, and the address with the key."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        kubectl = FakeKubectl.on_path(folder, patch)
        run = folder / "volume/default/search-1"
        made_searches.write(run, 120, ended=False)
        job = made_searches.job(run, 120)
        job["status"]["tuning"] |= {"planned": 200, "running": 4}
        kubectl.says(listed(job), "get", "/search")
        kubectl.runs("exec")
        quiet = canary("churn", phase="Ready", candidate=None, rollout=None)
        kubectl.says(listed(canary(drift=DRIFT), quiet), "get", "modeldeployments")
        kubectl.says(listed(*EVENTS), "get", "events")
        with serving(Site(Target(), context="prod", namespace="default"), lambda: NOW) as found:
            yield found


EVENTS = [
    event("digits", "StepStarted", "digits-3 has 25% of the requests"),
    event("digits", "RolledBack", "digits-2 was rejected: ErrorRate", warning=True),
]


@pytest.fixture(scope="module")
def tab(site: tuple[str, str], browser: Browser) -> Page:
    """A tab that was let in."""
    return let_in(browser, site)


@pytest.fixture
def page(tab: Page) -> Page:
    """The same tab, as wide as most."""
    tab.size(1280, 900)
    tab.scheme("light")
    return tab


def let_in(browser: Browser, site: tuple[str, str]) -> Page:
    """Open the address with the key in one tab, and give another one."""
    first = Page(browser)
    first.goto(site[1])
    first.wait_for("!location.search && document.querySelector('h1')")
    return Page(browser)


def shown(page: Page, site: tuple[str, str], path: str) -> None:
    """Open a page, and wait until it is whole."""
    page.goto(site[0] + path)
    page.wait_for(PAGES[path])


def told(page: Page, drawing: str) -> str:
    """What a drawing tells of the mark that is chosen."""
    return str(page.evaluate(f"document.getElementById('{drawing}-told').textContent"))


def test_no_page_breaks_its_policy_or_is_wider_than_a_phone_in_either_scheme(page: Page, site: tuple[str, str]) -> None:
    wider = "document.documentElement.scrollWidth - innerWidth"
    for place, path in enumerate(PAGES):
        page.size(390, 844)
        page.scheme("dark" if place % 2 else "light")
        shown(page, site, path)
        assert page.evaluate(wider) <= 0, (path, 390)
        page.scheme("light" if place % 2 else "dark")
        for width in (390, 1280, 390):
            page.size(width, 844)
            page.drawn()
            assert page.evaluate(wider) <= 0, (path, width)
    assert page.problems() == []


def test_the_colours_follow_the_scheme(page: Page, site: tuple[str, str]) -> None:
    shown(page, site, f"{TRIALS}/3")
    pixels = "document.querySelector('.uplot canvas').toDataURL()"
    drawn: dict[str, str] = {}
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        if drawn:
            page.wait_for(f"{pixels} !== window.lightPixels")
        drawn[scheme] = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        page.evaluate(f"window.lightPixels = {pixels}, 0")
    assert drawn == {"light": "rgb(255, 255, 255)", "dark": "rgb(16, 20, 26)"}


def test_the_keyboard_reaches_every_control_and_no_mark_is_in_its_way(page: Page, site: tuple[str, str]) -> None:
    shown(page, site, TRIALS)
    stops = [stop.split(" ", 1)[1] for stop in page.reached()]
    assert stops[0] == "a Skip to the content"
    for control in CONTROLS:
        assert [stop for stop in stops if stop.startswith(control)], control
    assert len(stops) < 90, "60 links of the page and its table: the 350 marks of the drawings are reached by arrows"
    shown(page, site, DIGITS)
    stops = [stop.split(" ", 1)[1] for stop in page.reached()]
    assert [stop for stop in stops if stop.startswith(("div Gates", "div Versions", "div Conditions"))]
    assert len([stop for stop in stops if stop.startswith("button Copy: ")]) == 3


@pytest.mark.parametrize("drawing", ["by-parameter", "by-number", "parallel"])
def test_arrows_walk_from_the_best_trial_on_and_enter_opens_one(
    page: Page, site: tuple[str, str], drawing: str
) -> None:
    shown(page, site, TRIALS)
    best, second = page.evaluate(
        "[...document.querySelectorAll('#table tbody th')].slice(0, 2).map(e => e.textContent)"
    )
    page.evaluate(f"document.getElementById('{drawing}').focus()")
    page.press("ArrowRight")
    assert told(page, drawing).startswith(f"Trial {best}: validation/loss ")
    page.press("ArrowRight")
    assert told(page, drawing).startswith(f"Trial {second}: ")
    assert page.evaluate(f"document.querySelectorAll('#{drawing} .here').length") == 1
    page.press("Escape")
    assert told(page, drawing) == ""
    page.press("Home")
    page.press("Enter")
    page.wait_for(f"location.pathname === '{TRIALS}/{best}' && {PAGES[f'{TRIALS}/3']}")
    assert page.problems() == []


def test_arrows_read_the_values_of_a_curve(page: Page, site: tuple[str, str]) -> None:
    shown(page, site, f"{TRIALS}/3")
    page.evaluate("document.querySelector('.plot').focus()")
    page.press("ArrowRight")
    page.press("ArrowRight")
    words = page.evaluate("document.querySelector('.curve .readout').textContent")
    assert words.startswith("At epoch 2: validation/loss 0.9")
    page.press("End")
    assert page.evaluate("document.querySelector('.curve .readout').textContent").startswith("At epoch 12: ")


def test_a_rollout_moves_on_the_page_while_the_keyboard_stays_where_it_is(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    kubectl = FakeKubectl.on_path(tmp_path, monkeypatch)
    later = canary()
    later["status"]["rollout"]["candidateRequests"] = 455
    for each in (canary(), later):
        kubectl.says(listed(each), "get", "modeldeployments.headway.dev/digits")
    kubectl.says(listed(), "get", "events")
    with serving(Site(Target(), context="prod", namespace="default"), lambda: NOW) as site:
        page = let_in(browser, site)
        shown(page, site, DIGITS)
        page.evaluate("document.querySelector('#rollout [aria-label=Gates]').focus()")
        page.wait_for("document.querySelector('#rollout').textContent.includes('455 of 500')")
        assert page.evaluate("document.activeElement.ariaLabel") == "Gates"
        assert page.problems() == []
        page.close()


@pytest.mark.long
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_it(page: Page, site: tuple[str, str], name: str, tmp_path: Path) -> None:
    kept = os.environ.get("HEADWAY_PICTURES")
    path, scheme, width, height = PICTURES[name]
    page.size(width, height)
    page.scheme(scheme)
    shown(page, site, path)
    picture = (ROOT / kept if kept else tmp_path) / f"{name}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.picture(picture, whole=False)
    with Image.open(picture) as image:
        assert image.size == (width, height)
        drawn = image.convert("RGB")
        assert len(drawn.getcolors(1 << 24) or []) > 50, "there is something in it"
        small = drawn.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)
    assert picture.stat().st_size < 150_000
