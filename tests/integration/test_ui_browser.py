"""The pages of jobs in a real browser: light and dark, on a phone, by the keyboard alone, and while things change.

HEADWAY_PICTURES=docs/images/ui keeps the pictures there: they are those of docs/how-to/web-page.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import ui_server
from browser import Browser, Page, why_not
from fake_kubectl import FakeKubectl
from harness import ROOT
from headway_cli.cluster.kubectl import Target
from headway_cli.ui.asking import Site
from headway_cli.ui.pages import job, logs, looking
from ui_world import a_world, resnet

COLOURS = 128
HASTE_SECONDS = 0.25
DRAWN = "document.querySelectorAll('.curve .u-legend').length > 1"
PAGES = {
    "jobs": ("/jobs", "document.querySelectorAll('table.jobs tbody tr').length === 6"),
    "job": ("/jobs/vision/resnet", DRAWN),
    "logs": ("/jobs/vision/resnet/logs?source=rank-3&attempt=2", "document.querySelector('#log')"),
    "events": ("/jobs/vision/resnet/events", "document.querySelector('table.events')"),
    "yaml": ("/jobs/vision/resnet/yaml", "document.querySelector('#yaml')"),
    "waits": ("/jobs/nlp/bert-large", "document.querySelector('.said.bad')"),
    "failed": ("/jobs/sales/churn", "document.querySelector('.said.bad')"),
    "done": ("/jobs/vision/digits", f"document.querySelector('table.files') && {DRAWN}"),
    "missing": ("/jobs/vision/nobody", "document.querySelector('.error')"),
}
"""Addresses, and what is there once a page is whole."""
PICTURES = {
    "jobs": ("jobs", "light", 1280, 520),
    "job": ("job", "light", 1280, 1500),
    "job-dark": ("job", "dark", 1280, 900),
    "waits": ("waits", "light", 1280, 560),
    "failed": ("failed", "light", 1280, 640),
    "done": ("done", "light", 1280, 1180),
    "logs": ("logs", "light", 1280, 640),
    "phone": ("job", "light", 390, 1100),
}
"""Page, scheme, and size in pixels, by the name of the picture."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The printed address of `headway ui` for a cluster with six jobs."""
    if reason := why_not():
        pytest.skip(reason)
    with a_world(tmp_path_factory.mktemp("world")) as found:
        yield found


@contextmanager
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server whose pages are asked for again at once; yields the address with the key."""
    for module, name in ((job, "EVERY"), (looking, "JOB_SECONDS"), (logs, "KEPT_SECONDS")):
        monkeypatch.setattr(module, name, HASTE_SECONDS)
    with ui_server.serving(Site(Target(), context="prod", namespace="vision")) as (_, address):
        yield address


def let_in(page: Page, address: str) -> None:
    """Open the address with the key."""
    page.goto(address)
    page.wait_for("!location.search && document.querySelector('h1')")


@pytest.fixture
def page(address: str, browser: Browser) -> Iterator[Page]:
    """A tab that was let in."""
    made = Page(browser)
    made.goto(address)
    made.wait_for("document.querySelector('h1')?.textContent.startsWith('Jobs')")
    yield made
    made.close()


def shown(page: Page, address: str, name: str) -> None:
    """Open a page, and wait until it is whole."""
    path, whole = PAGES[name]
    page.goto(address.partition("/?")[0] + path)
    page.wait_for(whole)


def wider(page: Page) -> Any:
    """By how much the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def test_the_key_is_gone_from_the_address_after_the_first_page(page: Page) -> None:
    assert page.evaluate("location.pathname + location.search") == "/"
    assert page.evaluate("document.cookie") == ""


def test_no_page_breaks_its_policy_or_is_wider_than_a_phone_in_either_scheme(page: Page, address: str) -> None:
    for place, name in enumerate(PAGES):
        # Each is loaded once, on a phone, and then becomes wider and changes its colours as it stands.
        page.size(390, 844)
        page.scheme("dark" if place % 2 else "light")
        shown(page, address, name)
        assert wider(page) <= 0, (name, 390)
        page.scheme("light" if place % 2 else "dark")
        for width in (390, 1280, 390):
            page.size(width, 844)
            page.drawn()
            assert wider(page) <= 0, (name, width)
    problems = [each for each in page.problems() if "/jobs/vision/nobody" not in each]
    assert problems == []


def test_the_keyboard_alone_goes_from_the_list_to_a_log(page: Page, address: str) -> None:
    shown(page, address, "jobs")
    stops = page.reached()
    assert stops[0].endswith("a Skip to the content")
    assert [stop.split(" ", 2)[2] for stop in stops if stop.split(" ", 2)[1] == "a"][-6:] == [
        "bert-large", "churn", "learning-rates", "resnet", "forecast", "digits",
    ]  # fmt: skip
    page.evaluate("document.querySelector('a[href=\"/jobs/vision/resnet\"]').focus()")
    page.press("Enter")
    page.wait_for(f"location.pathname === '/jobs/vision/resnet' && {DRAWN}")
    stops = page.reached()
    assert [stop for stop in stops if "Curves of loss" in stop]
    page.evaluate("document.querySelector('.sub a[href$=\"/logs\"]').focus()")
    page.press("Enter")
    page.wait_for("document.querySelector('#log')?.textContent.includes('epoch 31/50')")


def test_a_page_follows_its_job_and_says_when_it_cannot(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    kubectl = FakeKubectl.on_path(tmp_path, monkeypatch)
    before, after = resnet(), resnet()
    after["status"]["progress"] |= {"step": 12_345, "percent": 63, "metrics": {"train/loss": "0.2222"}}
    for each in (before, after):
        del each["status"]["checkpoint"]  # without a storage, there is what was seen
    for each in (before, before, after):
        kubectl.says(each, "get", "trainingjobs.headway.dev/resnet")
    kubectl.says({"kind": "List", "items": []}, "get", "pods")
    kubectl.says({"kind": "List", "items": []}, "get", "events")
    page = Page(browser)
    with hasty(monkeypatch) as address:
        let_in(page, address)
        page.goto(address.partition("/?")[0] + "/jobs/vision/resnet")
        page.evaluate("window.mark = 'the same page'")
        page.wait_for("document.querySelector('#said').textContent.includes('step 12,345')")
        page.wait_for("document.querySelector('.chart').textContent.includes('train/loss 0.2222 at step 12345')")
        assert page.evaluate("window.mark") == "the same page"
        assert page.evaluate("document.querySelector('#stale').hidden") is True
    page.wait_for("document.querySelector('#stale').textContent.includes('headway ui does not answer')")
    assert "step 12,345" in page.evaluate("document.querySelector('#said').textContent")
    page.close()


def test_a_text_that_is_selected_stays_until_it_no_longer_is(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    kubectl = FakeKubectl.on_path(tmp_path, monkeypatch)
    kubectl.says(resnet(), "get", "trainingjobs.headway.dev/resnet")
    kubectl.says("one", "logs", "resnet-2-head")
    kubectl.says("two", "logs", "resnet-2-head")
    page = Page(browser)
    looks = "performance.getEntriesByType('resource').filter((each) => each.initiatorType === 'fetch').length"
    with hasty(monkeypatch) as address:
        let_in(page, address)
        page.goto(address.partition("/?")[0] + "/jobs/vision/resnet/logs")
        page.evaluate("getSelection().selectAllChildren(document.querySelector('#log'))")
        page.wait_for("fetch(location.href).then((answer) => answer.text()).then((text) => text.includes('two'))")
        before = page.evaluate(looks)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for(f"{looks} > {before}")
        assert page.evaluate("document.querySelector('#log').textContent").strip() == "one"
        page.evaluate("getSelection().removeAllRanges()")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for("document.querySelector('#log').textContent.trim() === 'two'")
    page.close()


@pytest.mark.long
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_it(page: Page, address: str, name: str, tmp_path: Path) -> None:
    kept = os.environ.get("HEADWAY_PICTURES")
    shows, scheme, width, height = PICTURES[name]
    page.size(width, height)
    page.scheme(scheme)
    shown(page, address, shows)
    picture = (ROOT / kept if kept else tmp_path) / f"{name}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.picture(picture, whole=False)
    with Image.open(picture) as image:
        assert image.size == (width, height)
        drawn = image.convert("RGB")
        assert len(drawn.getcolors(1 << 24) or []) > 50, "there is something in it"
        small = drawn.quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)
    assert picture.stat().st_size < 150_000
