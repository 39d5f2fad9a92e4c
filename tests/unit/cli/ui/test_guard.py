"""Who is let in to the pages of `headway ui`, and what every answer tells a browser."""

from __future__ import annotations

import asyncio

import pytest

from fake_kubectl import FakeKubectl, listed, recorded
from headway_cli.ui.guard import HEADERS, Keys, cookie_at
from ui_visitor import Visitor

ADDRESSES = [
    "/",
    "/jobs",
    "/static/style.css",
    "/nothing",
    "/jobs/default/churn",
    "/?key=wrong",
    "/static/../server.py",
]


async def test_a_browser_without_the_key_is_told_to_open_the_printed_address(stranger: Visitor) -> None:
    for path in ("/", "/jobs", "/nothing", "/jobs?key=", "/jobs?key=wrong", "/jobs?key=%F0%9F%92%A9"):
        answer = await stranger.ask(path)
        assert answer.status == 401, path
        text = await answer.text()
        assert "the address that `headway ui` has printed" in text
        assert "context here" not in text  # whoever asks: it is nobody's business


async def test_the_key_of_the_first_address_becomes_a_cookie_that_no_script_and_no_other_site_has(
    stranger: Visitor, kubectl: FakeKubectl
) -> None:
    kubectl.says(listed(recorded("running")), "get", "trainingjobs")
    answer = await stranger.ask(f"/?key={stranger.keys.first}")
    cookie = answer.cookies[cookie_at(answer.request_info.headers["Host"])]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert answer.headers["Refresh"] == "0; url=/"
    assert stranger.keys.first not in cookie.value
    assert stranger.keys.first not in await answer.text()
    assert (await stranger.ask("/")).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", "10.0.0.1", "", "127.0.0.1:x", "[::2]"],
)
async def test_another_name_that_leads_here_is_misdirected(visitor: Visitor, host: str) -> None:
    assert (await visitor.ask("/", Host=host)).status == 421
    assert (await visitor.ask("/static/style.css", Host=host)).status == 421
    assert (await visitor.ask(f"/?key={visitor.keys.first}", Host=host)).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1:9999", "localhost", "localhost:8765", "[::1]:8765"])
async def test_this_machine_has_three_names_and_any_port(visitor: Visitor, kubectl: FakeKubectl, host: str) -> None:
    kubectl.says(listed(), "get", "trainingjobs")
    assert (await visitor.ask("/jobs", Host=host)).status == 401
    let_in = await visitor.ask(f"/?key={visitor.keys.first}", Host=host)
    (cookie,) = let_in.cookies.values()
    assert (await visitor.ask("/jobs", Host=host, Cookie=f"{cookie.key}={cookie.value}")).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_it_is_only_read(visitor: Visitor, method: str) -> None:
    for path in ("/", "/jobs", "/static/style.css"):
        answer = await visitor.ask(path, method)
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_web_page_cannot_have_a_browser_ask(visitor: Visitor, site: str) -> None:
    assert (await visitor.ask("/jobs", Sec_Fetch_Site=site)).status == 403
    # But a link with the key, in a terminal that is itself a web page, is the user's own.
    assert (await visitor.ask(f"/?key={visitor.keys.first}", Sec_Fetch_Site=site)).status == 200


async def test_every_answer_has_the_headers_that_bind_a_browser(visitor: Visitor, kubectl: FakeKubectl) -> None:
    kubectl.says(listed(), "get", "trainingjobs")
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    for path in ADDRESSES:
        for method in ("GET", "HEAD", "POST"):
            for host in ("localhost", "evil.example"):
                answer = await visitor.ask(path, method, Host=host)
                assert {name: answer.headers.get(name) for name in HEADERS} == dict(HEADERS), (path, method, host)


async def test_a_long_address_and_a_name_that_is_none_are_refused(visitor: Visitor) -> None:
    assert (await visitor.ask("/jobs?name=" + "a" * 400)).status == 400
    assert (await visitor.ask("/jobs?" + "&".join(f"a{each}=1" for each in range(30)))).status == 400
    assert (await visitor.ask("/jobs?namespace=--all")).status == 400
    assert (await visitor.ask("/jobs?page=x")).status == 400
    assert (await visitor.ask("/jobs?phase=Sleeping")).status == 400


async def test_a_static_file_lies_in_its_folder(visitor: Visitor) -> None:
    assert (await visitor.ask("/static/live.js")).status == 200
    for path in ("/static/", "/static/..%2fserver.py", "/static/%2e%2e/server.py", "/static//etc/passwd"):
        answer = await visitor.ask(path)
        assert answer.status in (401, 403, 404), path
        assert "import" not in await answer.text()


def entered(keys: Keys, host: str, jar: dict[str, str]) -> None:
    """Let a browser in, which keeps its cookies for all ports of a host."""
    jar |= {name: each.value for name, each in keys.enter(host).cookies.items()}


def test_two_servers_of_one_machine_do_not_put_out_each_others_cookies() -> None:
    one, other, jar = Keys(), Keys(), dict[str, str]()
    entered(one, "127.0.0.1:8765", jar)
    entered(other, "127.0.0.1:8766", jar)
    assert one.knows(jar, "127.0.0.1:8765")
    assert other.knows(jar, "127.0.0.1:8766")
    assert not one.knows(jar, "127.0.0.1:8766")
    assert not other.knows(jar, "127.0.0.1")


def test_a_year_of_starts_leaves_one_cookie_and_the_last_one_is_let_in() -> None:
    jar: dict[str, str] = {}
    before = Keys()
    entered(before, "127.0.0.1:8765", jar)
    for _ in range(365):
        now = Keys()
        entered(now, "127.0.0.1:8765", jar)
    assert len(jar) == 1
    assert now.knows(jar, "127.0.0.1:8765")
    assert not before.knows(jar, "127.0.0.1:8765")


@pytest.mark.parametrize("path", ["/jobs", "/?key=%ff", "/?key=%ED%B3%BF"])
async def test_bytes_that_are_no_text_are_no_key(stranger: Visitor, path: str) -> None:
    server = stranger.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    host = f"127.0.0.1:{server.port}"
    cookie = cookie_at(host).encode()
    writer.write(b"GET %b HTTP/1.1\r\nHost: %b\r\nCookie: %b=\xff\xfe\r\n\r\n" % (path.encode(), host.encode(), cookie))
    assert b" 401 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_an_error_of_our_own_is_a_page_without_its_words_and_is_told_on_the_terminal(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: object) -> None:
        raise KeyError("a secret of the process")

    monkeypatch.setattr("headway_cli.ui.pages.jobs.rows", breaks)
    answer = await visitor.ask("/jobs")
    assert answer.status == 500
    assert "the terminal of `headway ui` has it" in await answer.text()
    assert "a secret" not in await answer.text()
    assert "a secret of the process" in caplog.text
