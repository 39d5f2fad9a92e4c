"""Webhooks of an operator before a real API server: who is told what, once, also by the one that takes over."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluster.paper import Paper, why_no_paper

pytestmark = pytest.mark.cluster


class Channel(ThreadingHTTPServer):
    """A server that keeps the words it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.words: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/services/a-secret-word"


class _Handler(BaseHTTPRequestHandler):
    server: Channel

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert list(told) == ["text"]
        self.server.words.append(told["text"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def channel() -> Iterator[Channel]:
    """The server, at work."""
    made = Channel()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


@pytest.fixture
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane with two kwok nodes, the CRDs, and the operator's rights."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Paper.made("told", tmp_path_factory.mktemp("told")) as made:
        yield made


def test_a_namespaces_webhook_is_told_once_how_its_jobs_end(paper: Paper, channel: Channel, tmp_path: Path) -> None:
    folder = tmp_path / "webhooks"
    folder.mkdir()
    (folder / "default").write_text(channel.url)
    with paper.operator("--notifications", str(folder)) as operator:
        paper.submit("digits")
        paper.phase("digits", "Running")
        paper.edit("digits", suspend=True)
        paper.phase("digits", "Suspended")
        paper.until("the first word", lambda: channel.words)
        paper.submit("other")
        paper.phase("other", "Running")
        paper.end_driver("other", "Succeeded", message="the model is stored")
        paper.phase("other", "Succeeded")
        paper.until("the second word", lambda: channel.words[1:])
        assert operator.metric('headway_notifications_total{result="sent"}') == 2
        assert operator.metric('headway_notifications_total{result="failed"}') == 0
        log = operator.log
    # The one that takes over knows both jobs as they are, and has nothing new to tell.
    with paper.operator("--notifications", str(folder)) as operator:
        paper.submit("third")
        paper.phase("third", "Running")
        paper.end_driver("third", "Failed", code=64, cause="UserError", message="ValueError: no column <y>")
        paper.phase("third", "Failed")
        paper.until("the third word", lambda: channel.words[2:])
        assert "a-secret-word" not in log.read_text() + operator.log.read_text()
    assert channel.words == [
        "TrainingJob default/digits is suspended: the job holds no pods; set spec.suspend to false to go on",
        "TrainingJob default/other succeeded: attempt 1 succeeded. the model is stored",
        "TrainingJob default/third failed: attempt 1: UserError, ValueError: no column &lt;y&gt; (not tried again, as "
        "retry.userError is 0)",
    ]
