"""What training processes print reaches the pod's output."""

from __future__ import annotations

import io
from pathlib import Path

from headway_trainer.follow import Follower


def test_whole_lines_are_copied_once_and_rays_own_marks_left_out(tmp_path: Path) -> None:
    output = io.StringIO()
    follower = Follower(tmp_path, output)
    log = tmp_path / "worker-1.out"
    log.write_bytes(b":job_id:01000000\n:actor_name:RayTrainWorker\nhello\nhalf a li")
    (tmp_path / "raylet.out").write_bytes(b"not ours\n")
    follower.copy()
    assert output.getvalue() == "hello\n"
    with log.open("ab") as file:
        file.write(b"ne\nlast without an end")
    (tmp_path / "worker-1.err").write_bytes(b"an \xff error\n")
    follower.copy()
    assert sorted(output.getvalue().splitlines()) == ["an \ufffd error", "half a line", "hello"]
    follower.copy(rest=True)
    assert output.getvalue().endswith("last without an end\n")
    assert output.getvalue().count("hello") == 1


def test_the_thread_copies_what_is_left_when_it_is_closed(tmp_path: Path) -> None:
    output = io.StringIO()
    follower = Follower(tmp_path, output)
    follower.start()
    (tmp_path / "worker-7.out").write_bytes(b"the last word")
    follower.close()
    assert output.getvalue() == "the last word\n"
