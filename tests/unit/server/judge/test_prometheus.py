"""What is asked of a Prometheus, and what is made of an answer: of a friend's, a stranger's and an enemy's."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import json
import math
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from headway_api import rollout_wire as wire
from headway_api.addresses import is_refused
from headway_server.judge.prometheus import MOST_BYTES, NoValue, ask

NOWHERE = Path("/nonexistent")
TOKEN, WORD = "abc.def\n", "pä:ss"


@dataclass
class Stub:
    """Answers each connection with the same bytes."""

    answer: bytes
    drip: bool = False
    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            self.heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
            while self.drip:
                await asyncio.sleep(0.01)
                writer.write(b"x-more: 1\r\n")
                await writer.drain()


@contextlib.asynccontextmanager
async def stub(answer: bytes, *, drip: bool = False, tls: ssl.SSLContext | None = None) -> AsyncIterator[Stub]:
    made = Stub(answer, drip)
    server = await asyncio.start_server(made, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    await asyncio.sleep(0)


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def told(data: Any, status: str = "200 OK", **more: Any) -> bytes:
    return http(json.dumps({"status": "success", "data": data, **more}).encode(), status)


def vector(*values: str) -> bytes:
    return told({"resultType": "vector", "result": [{"metric": {}, "value": [1.5, value]} for value in values]})


def gate(port: int, **changes: Any) -> wire.QueryGate:
    fields = {"name": "revenue", "url": f"http://127.0.0.1:{port}/prom/", "query": 'up{a="b c"}', "min": 0, **changes}
    return wire.QueryGate(**fields)


async def value_of(answer: bytes) -> float:
    async with stub(answer) as there:
        return await ask(gate(there.port), NOWHERE)


async def why_not(answer: bytes) -> str:
    with pytest.raises(NoValue) as found:
        await value_of(answer)
    return str(found.value)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (vector("0.25"), 0.25),
        (told({"resultType": "scalar", "result": [1, "3"]}), 3.0),
        (vector("+Inf"), math.inf),
        (vector("1e-3"), 0.001),
    ],
)
async def test_one_number_is_the_value(answer: bytes, value: float) -> None:
    assert await value_of(answer) == value


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://[....]:9090", "an address that there cannot be"),
        ("http://prometheus:99999", "has a port"),
        (f"http://{'a' * 64}:9090", "is no name of a host"),
        ("http://a..b", "is no name of a host"),
    ],
)
async def test_what_can_be_no_address_is_told_in_words(url: str, why: str) -> None:
    with pytest.raises(NoValue, match=why):
        await ask(gate(1, url=url), NOWHERE)


async def test_credentials_for_what_can_be_no_address_are_sent_nowhere(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/token").write_text("abc")
    (tmp_path / "keys/url").write_text("http://[....]:9090")
    with pytest.raises(NoValue, match="sent only to the address in its key url"):
        await ask(gate(1, secret="keys"), tmp_path)  # noqa: S106 - the name of a Secret


async def test_nan_is_told_as_it_is() -> None:
    assert math.isnan(await value_of(vector("NaN")))


async def test_it_asks_for_the_query_at_the_path_that_is_given_and_says_who_asks() -> None:
    async with stub(vector("1")) as there:
        await ask(gate(there.port), NOWHERE)
    line, *headers = there.heard[0].decode().split("\r\n")
    method, target, _ = line.split(" ")
    assert (method, urlsplit(target).path) == ("GET", "/prom/api/v1/query")
    assert parse_qs(urlsplit(target).query)["query"] == ['up{a="b c"}']
    assert f"Host: 127.0.0.1:{there.port}" in headers
    assert not any(header.startswith("Authorization") for header in headers)


BAD_QUERY = {"status": "error", "errorType": "bad_data", "error": 'parse error: unexpected "}"'}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (vector(), "finds no series"),
        (vector("1", "2"), "gives 2 series"),
        (vector("one"), "gives no number"),
        (told({"resultType": "matrix", "result": []}), "gives a matrix"),
        (told({"resultType": "vector", "result": [7]}), "gives no number"),
        (told({"resultType": "scalar", "result": {}}), "gives no number"),
        (told(None), "has to give one number"),
        (told([]), "has to give one number"),
        (http(json.dumps(BAD_QUERY).encode(), "400 Bad Request"), 'answers 400: bad_data: parse error: unexpected "}"'),
        (http(b"[" * 100_000), "not as Prometheus does"),
        (http(b"<html>", "200 OK"), "not as Prometheus does"),
        (http(b"", "204 No Content"), "not as Prometheus does"),
        (http(b"{}", "302 Found", "Location: http://169.254.169.254/"), "redirects are not followed"),
        (http(b"x" * (MOST_BYTES + 1)), "more than 262,144 bytes"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * (MOST_BYTES + 1), "more than 262,144 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}", "closed before all of the answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP/1.1"),
        (b"", "closed before all of the answer"),
    ],
)
async def test_what_is_no_number_is_no_value_and_is_said_in_words(answer: bytes, says: str) -> None:
    assert says in await why_not(answer)


async def test_an_answer_that_ends_with_its_connection_is_one() -> None:
    body = vector("4").partition(b"\r\n\r\n")[2]
    assert await value_of(b"HTTP/1.1 200 OK\r\n\r\n" + body) == 4.0


async def test_words_of_a_stranger_are_short_and_printable() -> None:
    body = json.dumps({"status": "error", "error": "\x1b[31m" + "x" * 9000}).encode()
    said = await why_not(http(body, "503 Service Unavailable"))
    assert len(said) < 400
    assert said.isprintable()


async def test_an_answer_that_comes_drop_by_drop_is_given_up() -> None:
    async with stub(b"HTTP/1.1 200 OK\r\n", drip=True) as there:
        with pytest.raises(NoValue, match=r"no answer within 0\.2 s"):
            await ask(gate(there.port), NOWHERE, seconds=0.2)


async def test_nobody_there_is_no_value() -> None:
    async with stub(b"") as there:
        pass
    with pytest.raises(NoValue, match="no connection"):
        await ask(gate(there.port), NOWHERE)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://prometheus", "http://", "http://user:word@prometheus", "http://p/a?b=c", "http://p\r\nX: y", "file:///etc",
        "http://p:99999", "http://p/%0d%0a",
    ],
)  # fmt: skip
async def test_an_address_that_the_spec_would_not_take_is_not_asked(url: str) -> None:
    with pytest.raises(NoValue, match="its url"):
        await ask(gate(1, url=url), NOWHERE)


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("169.254.169.254", True),
        ("169.254.1.1", True),
        ("::ffff:169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("2002:a9fe:a9fe::1", True),
        ("fe80::1", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("168.63.129.16", True),
        ("0.0.0.0", True),  # noqa: S104 - an address that is not to be reached
        ("::", True),
        ("224.0.0.1", True),
        ("10.0.0.1", False),
        ("127.0.0.1", False),
        ("fd00::1", False),
        ("2001:db8::1", False),
        ("64:ff9b::a00:1", False),
    ],
)
def test_addresses_of_the_node_and_the_cloud_are_refused_however_they_are_written(address: str, refused: bool) -> None:
    assert is_refused(ipaddress.ip_address(address)) is refused


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:a9fe:a9fe]", "2852039166", "0xA9FEA9FE"])
async def test_no_query_reaches_them(host: str) -> None:
    with pytest.raises(NoValue, match="which no query may reach"):
        await ask(gate(80, url=f"http://{host}/latest"), NOWHERE)


async def test_a_name_that_leads_to_one_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", ("10.0.0.1", 80)), (2, 1, 6, "", ("169.254.169.254", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found, raising=False)
    with pytest.raises(NoValue, match=r"metadata\.example is 169\.254\.169\.254"):
        await ask(gate(80, url="http://metadata.example"), NOWHERE)


def _https(folder: Path) -> tuple[ssl.SSLContext, str]:
    """What a server is known by, and its certificate."""
    certificate, key = folder / "server.crt", folder / "server.key"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names, *files],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate.read_text()


class TestASecret:
    """Credentials, and where they go."""

    def folder(self, root: Path, **keys: str) -> Path:
        (root / "monitoring").mkdir()
        for key, value in keys.items():
            (root / "monitoring" / key.replace("_", ".")).write_text(value)
        return root

    async def authorization(self, root: Path, **keys: str) -> str | None:
        """What is sent; {here} in a key is the stub's address."""
        async with stub(vector("1")) as there:
            here = f"http://127.0.0.1:{there.port}"
            held = {key: value.replace("{here}", here) for key, value in keys.items()}
            await ask(gate(there.port, secret="monitoring"), self.folder(root, **held))  # noqa: S106 - a name
        lines = there.heard[0].decode().split("\r\n")
        return next((line.partition(": ")[2] for line in lines if line.startswith("Authorization")), None)

    async def test_a_token_is_sent_to_the_address_that_the_secret_names(self, tmp_path: Path) -> None:
        assert await self.authorization(tmp_path, url="{here}/any/path", token=TOKEN) == "Bearer abc.def"

    async def test_so_are_a_name_and_a_password(self, tmp_path: Path) -> None:
        sent = await self.authorization(tmp_path, url="{here}", username="me", password=WORD)
        assert sent is not None
        assert base64.b64decode(sent.removeprefix("Basic ")).decode() == "me:pä:ss"

    async def test_authorities_alone_need_no_address(self, tmp_path: Path) -> None:
        assert await self.authorization(tmp_path, ca_crt="none") is None

    @pytest.mark.parametrize(
        ("keys", "says"),
        [
            ({"token": "s3cret"}, "sent only to the address in its key url"),
            ({"token": "s3cret", "url": "http://127.0.0.1:1"}, "sent only to the address in its key url"),
            ({"token": "s3cret", "url": "https://127.0.0.1:{port}"}, "sent only to the address in its key url"),
            ({"token": "s3cret", "url": "http://127.0.0.1:{port}.evil"}, "sent only to the address in its key url"),
            ({"username": "u", "password": "s3cret"}, "sent only to the address in its key url"),
            ({"token": "s3cret\r\nX: y", "url": "http://127.0.0.1:{port}"}, "characters that no header takes"),
            ({"password": "s3cret", "url": "http://127.0.0.1:{port}"}, "needs a username"),
            ({"username": "a:b", "password": "s3cret", "url": "http://127.0.0.1:{port}"}, "needs a username"),
            ({}, "is not there, or has none of url, token"),
            ({"token": "x" * 300_000}, "a key with more than"),
        ],
    )
    async def test_what_is_not_meant_for_it_is_not_sent(self, keys: dict[str, str], says: str, tmp_path: Path) -> None:
        async with stub(vector("1")) as there:
            held = {key: value.replace("{port}", str(there.port)) for key, value in keys.items()}
            with pytest.raises(NoValue) as found:
                await ask(gate(there.port, secret="monitoring"), self.folder(tmp_path, **held))  # noqa: S106 - a name
        assert says in str(found.value)
        assert there.heard == []
        assert "s3cret" not in str(found.value)

    async def test_a_server_with_https_is_known_by_the_authorities_of_the_secret_and_by_no_other(
        self, tmp_path: Path
    ) -> None:
        context, certificate = await asyncio.to_thread(_https, tmp_path)
        async with stub(vector("2"), tls=context) as there:
            url = f"https://localhost:{there.port}"
            known = gate(there.port, url=url, secret="monitoring")  # noqa: S106 - a name
            folder = self.folder(tmp_path, url=url, token=TOKEN, ca_crt=certificate)
            assert await ask(known, folder) == 2.0
            for other in (
                known.model_copy(update={"secret": None}),
                known.model_copy(update={"url": f"https://127.0.0.1:{there.port}", "secret": None}),
            ):
                with pytest.raises(
                    NoValue,
                    match=r"its certificate is not trusted \(self.signed certificate\): give its authorities in ca.crt",
                ):
                    await ask(other, folder)
        assert len(there.heard) == 1, "nothing was said to a server that is not known"

    async def test_authorities_that_are_none_are_said_to_be(self, tmp_path: Path) -> None:
        one = gate(1, url="https://127.0.0.1:1", secret="monitoring")  # noqa: S106 - a name
        with pytest.raises(NoValue, match=r"ca\.crt holds no certificate"):
            await ask(one, self.folder(tmp_path, ca_crt="no PEM"))
