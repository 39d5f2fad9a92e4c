"""Where route and verdict are: an API server, as far as it can be had in a process, and files."""

from __future__ import annotations

import http.server
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headway_api import rollout_wire as wire
from headway_server.judge.store import ConfigMapStore, Conflict, FileStore

BASED_ON = {"metadata": {"resourceVersion": "7"}}


@dataclass
class ApiServer:
    """Takes patches of one ConfigMap."""

    port: int
    folder: Path
    """Of a ServiceAccount."""
    data: dict[str, str] = field(default_factory=lambda: {wire.KEY_ROUTE: "{}"})
    seen: list[tuple[str, str | None, str | None, Any]] = field(default_factory=list)
    version: int = 7
    connections: int = 0
    answer: tuple[int, bytes] | None = None
    closes: bool = False
    """Whether it leaves without a word after each answer."""

    def store(self) -> ConfigMapStore:
        return ConfigMapStore("ns", "churn-judge", host="localhost", port=str(self.port), folder=self.folder)


def _handler(told: ApiServer) -> Callable[..., http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            told.connections += 1
            super().setup()

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.seen.append((self.path, self.headers["Authorization"], self.headers["Content-Type"], body))
            based_on = body.get("metadata", {}).get("resourceVersion")
            conflict = based_on is not None and based_on != str(told.version)
            if not conflict and "data" in body:
                told.data.update(body["data"])
                told.version += 1
            shown = {"kind": "ConfigMap", "metadata": {"resourceVersion": str(told.version)}, "data": told.data}
            status, answer = told.answer or (409 if conflict else 200, json.dumps(shown).encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.close_connection = told.closes

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def api_server(tmp_path: Path) -> Iterator[ApiServer]:
    certificate, key = tmp_path / "ca.crt", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files],
        check=True,
        capture_output=True,
    )
    (tmp_path / "token").write_text("the-token\n")
    server = http.server.ThreadingHTTPServer(("localhost", 0), http.server.BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    told = ApiServer(server.server_port, tmp_path)
    server.RequestHandlerClass = _handler(told)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


class TestTheConfigMap:
    def test_a_patch_that_changes_nothing_reads_and_one_with_keys_writes_on_the_same_connection(
        self, api_server: ApiServer
    ) -> None:
        store = api_server.store()
        assert store.exchange({}) == {wire.KEY_ROUTE: "{}"}
        assert store.exchange({wire.KEY_VERDICT: "v"}) == {wire.KEY_ROUTE: "{}", wire.KEY_VERDICT: "v"}
        store.close()
        where = ("/api/v1/namespaces/ns/configmaps/churn-judge", "Bearer the-token", "application/merge-patch+json")
        assert api_server.seen == [(*where, {}), (*where, BASED_ON | {"data": {wire.KEY_VERDICT: "v"}})]
        assert api_server.connections == 1

    def test_nothing_is_written_over_what_was_not_read(self, api_server: ApiServer) -> None:
        store, other = api_server.store(), api_server.store()
        for one in (store, other):
            one.exchange({})
        store.exchange({wire.KEY_VERDICT: "a"})
        with pytest.raises(Conflict):
            other.exchange({wire.KEY_VERDICT: "b"})
        assert other.exchange({})[wire.KEY_VERDICT] == "a"
        other.exchange({wire.KEY_VERDICT: "b"})
        assert api_server.data[wire.KEY_VERDICT] == "b"
        for one in (store, other):
            one.close()

    def test_the_token_is_read_each_time(self, api_server: ApiServer) -> None:
        store = api_server.store()
        store.exchange({})
        (api_server.folder / "token").write_text("renewed")
        store.exchange({})
        store.close()
        assert [seen[1] for seen in api_server.seen] == ["Bearer the-token", "Bearer renewed"]

    def test_a_connection_that_the_api_server_left_is_made_anew(self, api_server: ApiServer) -> None:
        store = api_server.store()
        api_server.closes = True
        for _ in range(3):
            assert store.exchange({}) == {wire.KEY_ROUTE: "{}"}
        store.close()
        assert api_server.connections == 3

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (
                (403, b'{"kind": "Status", "message": "configmaps is forbidden"}'),
                "answers 403: configmaps is forbidden",
            ),
            ((500, b"\xff" * 1000), "answers 500: "),
            ((200, b"nonsense"), "answers with what is no ConfigMap: nonsense"),
            ((200, b"[]"), r"answers with what is no ConfigMap: \[\]"),
            ((200, b'{"data": [1]}'), "answers with what is no ConfigMap"),
        ],
    )
    def test_a_refusal_is_an_error_with_its_words(
        self, api_server: ApiServer, answer: tuple[int, bytes], words: str
    ) -> None:
        api_server.answer = answer
        store = api_server.store()
        with pytest.raises(OSError, match=words):
            store.exchange({})
        api_server.answer = None
        assert store.exchange({}) == {wire.KEY_ROUTE: "{}"}
        store.close()

    def test_a_config_map_without_data_has_none(self, api_server: ApiServer) -> None:
        api_server.answer = (200, b'{"kind": "ConfigMap"}')
        store = api_server.store()
        assert store.exchange({}) == {}
        store.close()

    def test_nobody_there_and_no_token_are_errors_too(self, api_server: ApiServer) -> None:
        nobody = ConfigMapStore("ns", "name", host="localhost", port="1", folder=api_server.folder)
        with pytest.raises(OSError, match=r"localhost: .*refused"):
            nobody.exchange({})
        (api_server.folder / "token").unlink()
        with pytest.raises(OSError, match="No such file"):
            api_server.store().exchange({})


class TestFiles:
    def test_a_file_that_is_not_there_is_not_among_what_is_read(self, tmp_path: Path) -> None:
        store = FileStore(tmp_path / "route.json", tmp_path / "out" / "verdict.json")
        assert store.exchange({}) == {}
        (tmp_path / "route.json").write_text("{}")
        assert store.exchange({}) == {wire.KEY_ROUTE: "{}"}

    def test_what_is_written_is_read_again_and_nothing_else_lies_about(self, tmp_path: Path) -> None:
        store = FileStore(tmp_path / "route.json", tmp_path / "verdict.json")
        told = {wire.KEY_VERDICT: "v", wire.KEY_MEMORY: "m"}
        assert store.exchange(told) == told
        assert FileStore(tmp_path / "route.json", tmp_path / "verdict.json").exchange({}) == told
        assert sorted(path.name for path in tmp_path.iterdir()) == ["verdict.json", "verdict.json.memory"]

    def test_a_folder_that_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="No such file"):
            FileStore(tmp_path / "route.json", tmp_path / "out" / "verdict.json").exchange({wire.KEY_VERDICT: "v"})
