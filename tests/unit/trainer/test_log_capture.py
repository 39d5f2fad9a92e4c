"""What a process prints itself is kept, too, and goes where it went."""

from __future__ import annotations

import io
import logging
import sys
import threading
from pathlib import Path

import pytest

from headway_trainer.logs import capture as capture_module
from headway_trainer.logs.capture import RAYS_PRINTER, Tee, capture, kept
from headway_trainer.logs.shipper import Shipper
from headway_trainer.logs.sources import DRIVER
from headway_trainer.storage import Store


def test_lines_are_handed_on_whole_and_the_stream_has_them_as_they_came() -> None:
    stream, taken = io.StringIO(), list[str]()
    tee = Tee(stream, taken.extend)
    print("one", "two", file=tee)
    tee.write("three")
    assert taken == ["one two"]
    tee.write(" and four\nfive")
    assert taken == ["one two", "three and four"]
    assert stream.getvalue() == "one two\nthree and four\nfive"


def test_a_line_without_an_end_is_handed_on_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "_LINE_LENGTH", 10)
    taken = list[str]()
    tee = Tee(io.StringIO(), taken.extend)
    for _ in range(5):
        tee.write("12345678")
    assert taken == ["1234567812345678", "1234567812345678"]


def test_what_ray_prints_for_other_processes_is_theirs() -> None:
    stream, taken = io.StringIO(), list[str]()
    tee = Tee(stream, taken.extend)
    printer = threading.Thread(target=print, args=("(worker-0 pid=7) step",), kwargs={"file": tee}, name=RAYS_PRINTER)
    printer.start()
    printer.join()
    assert (taken, stream.getvalue()) == ([], "(worker-0 pid=7) step\n")


def test_handlers_that_were_there_before_are_heard_too(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err, taken = io.StringIO(), io.StringIO(), list[str]()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    handler = logging.StreamHandler()
    monkeypatch.setattr(logging.root, "handlers", [handler])
    capture(taken.extend)
    logging.getLogger("headway.test").warning("it goes on")
    print("printed")
    print("an error", file=sys.stderr)
    assert taken == ["it goes on", "printed", "an error"]
    assert (out.getvalue(), err.getvalue()) == ("printed\n", "it goes on\nan error\n")
    assert sys.stderr.isatty() is False, "all else is the stream's"


def test_under_headway_run_what_is_logged_is_kept_and_only_warnings_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    printed = io.StringIO()
    monkeypatch.setattr(logging, "lastResort", logging.StreamHandler(printed))
    assert logging.lastResort is not None
    logging.lastResort.setLevel(logging.WARNING)
    log = logging.getLogger("headway.test")
    with kept(Shipper(DRIVER, lambda: Store.open(str(tmp_path)), 1)):
        log.info("2 workers have joined")
        log.warning("a worker was lost")
    log.info("nobody listens any more")
    text = (tmp_path / "logs/attempt-1/driver.log").read_text()
    assert [line.partition("headway.test: ")[2] for line in text.splitlines()] == [
        "2 workers have joined",
        "a worker was lost",
    ]
    assert printed.getvalue() == "a worker was lost\n"
    assert logging.root.handlers == []
