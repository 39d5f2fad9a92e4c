"""Fetching the user's code from a real git repository, reached by a path: no server, no network."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from headway_api.code import GitCode
from headway_trainer import fetch_code
from headway_trainer.errors import StorageError, UserError

IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.com")


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits: `src/train.py` says 1, then 2; the tag `first` and the branch `side` are the first."""
    folder = tmp_path / "repository"
    (folder / "src").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for number in (1, 2):
        (folder / "src/train.py").write_text(f"NUMBER = {number}\n")
        git(folder, "add", "--all")
        git(folder, *IDENTITY, "commit", "--quiet", "--message", f"number {number}")
        if number == 1:
            git(folder, "tag", "first")
            git(folder, "branch", "side")
    return folder


def code(repository: Path, revision: str, path: str | None = None) -> GitCode:
    """The section; built without validation, because a spec takes no `file://`."""
    return GitCode.model_construct(url=f"file://{repository}", revision=revision, path=path, secret_ref=None)


def fetch(section: GitCode, target: Path) -> str:
    waits: list[float] = []
    return fetch_code.fetch(section, target, None, sleep=waits.append)


@pytest.mark.parametrize(("revision", "number"), [("main", 2), ("first", 1), ("side", 1)])
def test_a_branch_or_tag_is_fetched_and_its_commit_is_told(
    repository: Path, tmp_path: Path, revision: str, number: int
) -> None:
    commit = fetch(code(repository, revision), tmp_path / "code")
    assert (tmp_path / "code/src/train.py").read_text() == f"NUMBER = {number}\n"
    assert commit == git(repository, "rev-parse", revision) == fetch_code.resolved_commit(tmp_path / "code")


@pytest.mark.parametrize("length", [40, 8])
def test_a_commit_that_is_no_tip_is_fetched_by_its_long_or_short_name(
    repository: Path, tmp_path: Path, length: int
) -> None:
    (repository / "src/train.py").write_text("NUMBER = 3\n")
    git(repository, *IDENTITY, "commit", "--quiet", "--all", "--message", "number 3")
    wanted = git(repository, "rev-parse", "main~1")
    assert fetch(code(repository, wanted[:length]), tmp_path / "code") == wanted
    assert (tmp_path / "code/src/train.py").read_text() == "NUMBER = 2\n"


def test_a_path_puts_that_folder_of_the_repository_at_the_top(repository: Path, tmp_path: Path) -> None:
    fetch(code(repository, "main", "src"), tmp_path / "code")
    assert (tmp_path / "code/train.py").read_text() == "NUMBER = 2\n"


def test_what_was_fetched_before_is_replaced(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "code/old").mkdir(parents=True)
    (tmp_path / "code/old/gone.py").write_text("")
    fetch(code(repository, "main"), tmp_path / "code")
    assert not (tmp_path / "code/old").exists()


@pytest.mark.parametrize("path", ["lib", "src/train.py"])
def test_a_path_that_is_no_folder_is_the_users_error(repository: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(UserError, match=rf"code\.git\.path {path}: there is no such folder"):
        fetch(code(repository, "main", path), tmp_path / "code")


def test_a_revision_that_is_not_there_is_the_users_error(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"code\.git.revision"):
        fetch(code(repository, "no-such-branch"), tmp_path / "code")


def test_a_repository_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises((UserError, StorageError), match=r"code\.git.url"):
        fetch(code(tmp_path / "nowhere", "main"), tmp_path / "code")


ACCESS = "fatal: unable to access 'https://git.example.com/team401/not found/': "


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"{ACCESS}The requested URL returned error: 403", "refused the credentials"),
        (f"{ACCESS}The requested URL returned error: 401", "refused the credentials"),
        ("error: RPC failed; HTTP 403 curl 22 The requested URL returned error: 403", "refused the credentials"),
        ("git@git.example.com: Permission denied (publickey).", "refused the credentials"),
        ("fatal: Authentication failed for 'https://git.example.com/team401/'", "refused the credentials"),
        ("fatal: repository 'https://git.example.com/team401/' not found", "no such repository"),
        ("fatal: couldn't find remote ref 'main'", "has no such commit"),
        (f"{ACCESS}The requested URL returned error: 503", None),
        (f"{ACCESS}Could not resolve host: git.example.com", None),
        ("fatal: https://git.example.com/team403/x/info/refs not valid: is this a git repository?", None),
        ("fatal: the remote end hung up after 4031 bytes", None),
    ],
)
def test_only_what_the_server_says_is_the_users_error_and_not_what_the_url_holds(said: str, told: str | None) -> None:
    section = GitCode.model_construct(
        url="https://git.example.com/team401", revision="main", path=None, secret_ref=None
    )
    failed = subprocess.CalledProcessError(128, ["git", "fetch", section.url], stderr=f"remote: hello\n{said}\n")
    mistake = fetch_code._mistake(failed, section)
    assert (mistake is None) == (told is None)
    assert (told or "") in str(mistake)


def test_a_server_that_is_away_is_no_mistake_of_the_user(tmp_path: Path) -> None:
    section = GitCode.model_construct(
        url="http://127.0.0.1:9/team401/not-found.git", revision="main", path=None, secret_ref=None
    )
    with pytest.raises(StorageError, match="could not be fetched in 4 tries"):
        fetch(section, tmp_path / "code")
