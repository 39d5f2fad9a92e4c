"""Fetches the user's code with git: `python -m headway_trainer.fetch_code` is a pod's init container.

Credentials reach git through an askpass program and files, never through arguments, URLs or logs.
"""

from __future__ import annotations

from headway_trainer.stop import REQUESTED, hear

if __name__ == "__main__":
    hear()  # before the imports, which take a moment

import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from headway_api import wire
from headway_api.code import GitCode
from headway_trainer.errors import StorageError, UserError

COMMIT_FILE = ".headway-commit"
"""In the folder of the code: which commit it is."""
ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 1.0
_TIMEOUT_SECONDS = 600
_ASKPASS = """#!/bin/sh
case "$1" in
  Username*) cat "$HEADWAY_GIT_SECRET/username" ;;
  *) cat "$HEADWAY_GIT_SECRET/password" ;;
esac
"""
_DENIED = ("authentication failed", "could not read username", "permission denied", "access denied")
_DENIED_CODE = re.compile(r"(returned error:|http) 40[13]\b")
_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'|\b[a-z+]+://\S+")
_NO_REPOSITORY = ("repository not found", "does not appear to be a git repository", "not found", "does not exist")
_NO_REVISION = ("couldn't find remote ref", "could not find remote ref", "not our ref", "unadvertised object")

log = logging.getLogger("headway.code")


def main() -> int:
    """Fetch what HEADWAY_RUN_FILE names into CODE_DIR; the exit code of `wire`. The last word is for people."""
    from headway_trainer.pod import read_run_file

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    threading.Thread(target=_leave_when_asked, daemon=True).start()
    code = read_run_file().spec.code
    if code is None or code.git is None:
        return wire.EXIT_SUCCEEDED
    secret = Path(wire.GIT_SECRET_DIR)
    try:
        commit = fetch(code.git, Path(wire.CODE_DIR), secret if secret.is_dir() else None)
    except UserError as error:
        _last_word(str(error))
        return wire.EXIT_USER_ERROR
    except StorageError as error:
        _last_word(str(error))
        return wire.EXIT_STORAGE
    log.info("%s %s is commit %s", code.git.url, code.git.revision, commit)
    return wire.EXIT_SUCCEEDED


def fetch(
    code: GitCode,
    target: Path,
    secret: Path | None,
    *,
    as_user: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Put the files of a revision (of code.path in it) into target, in place of what is there; the commit.

    secret: a folder with username and password, or ssh-privatekey and known_hosts. as_user: whether git may use what
    the user of this machine has set up for it.
    Raises UserError where the repository, revision, path or credentials are wrong, and StorageError where the server
    cannot be reached, after ATTEMPTS tries.
    """
    with tempfile.TemporaryDirectory(prefix="headway-git-") as folder:
        git = _Git(Path(folder), secret, as_user=as_user)
        git.run("init", "--quiet", "--bare", str(git.repository))
        _retry(lambda: _get(git, code), code, sleep)
        commit = git.run("rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}").strip()
        tree = f"{commit}:{code.path.strip('/')}" if code.path else commit
        _check_out(git, code, tree, target)
    (target / COMMIT_FILE).write_text(f"{commit}\n")
    return commit


def resolved_commit(folder: str | Path) -> str | None:
    """The commit that a folder of fetched code is; none for code from elsewhere."""
    try:
        return Path(folder, COMMIT_FILE).read_text().strip()
    except OSError:
        return None


class _Git:
    """git without prompts, and in a pod without any configuration but ours."""

    def __init__(self, folder: Path, secret: Path | None, *, as_user: bool) -> None:
        self.repository = folder / "repository"
        self._environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        if as_user:
            return
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
            **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
        }
        if (bundle := os.environ.get("SSL_CERT_FILE")) is not None:
            self._environment["GIT_SSL_CAINFO"] = bundle
        if secret is not None and (secret / "password").is_file():
            self._use_password(folder, secret)
        if secret is not None and (secret / "ssh-privatekey").is_file():
            self._use_key(folder, secret)

    def run(self, *words: str) -> str:
        """A git command in the repository; its output. Raises CalledProcessError and TimeoutExpired."""
        command = ["git", *words] if words[0] == "init" else ["git", f"--git-dir={self.repository}", *words]
        done = subprocess.run(
            command, env=self._environment, check=True, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
        )
        return done.stdout

    def run_in(self, work_tree: Path, *words: str) -> None:
        """A git command with a work tree. Raises CalledProcessError."""
        self.run(f"--work-tree={work_tree}", *words)

    def _use_password(self, folder: Path, secret: Path) -> None:
        program = folder / "askpass"
        program.write_text(_ASKPASS)
        program.chmod(stat.S_IRWXU)
        self._environment |= {"GIT_ASKPASS": str(program), "HEADWAY_GIT_SECRET": str(secret)}

    def _use_key(self, folder: Path, secret: Path) -> None:
        known_hosts = secret / "known_hosts"
        if not known_hosts.is_file():
            raise UserError(
                "code.git.secretRef: the Secret has ssh-privatekey but no known_hosts, so the server could not be "
                "told from an impostor: add the output of ssh-keyscan"
            )
        # ssh refuses a key that others may read, and one that does not end in a line's end.
        key = folder / "key"
        key.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
        key.write_text((secret / "ssh-privatekey").read_text().rstrip("\n") + "\n")
        options = f"-i {key} -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={known_hosts}"
        self._environment["GIT_SSH_COMMAND"] = f"ssh {options} -o BatchMode=yes -F none"


def _get(git: _Git, code: GitCode) -> None:
    """Fetch the revision alone; or everything, from a server that gives no commit by itself."""
    # A branch or tag is asked for by its name; git tries refs/heads and refs/tags.
    try:
        git.run("fetch", "--quiet", "--depth=1", "--no-tags", "--end-of-options", code.url, code.revision)
    except subprocess.CalledProcessError as error:
        if not _says(error, _NO_REVISION):
            raise
        git.run("fetch", "--quiet", "--tags", "--end-of-options", code.url, "+refs/heads/*:refs/heads/*")
        found = git.run("rev-parse", "--verify", "--quiet", f"{code.revision}^{{commit}}").strip()
        (git.repository / "FETCH_HEAD").write_text(f"{found}\t\t{code.url}\n")


def _check_out(git: _Git, code: GitCode, tree: str, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if not _is_folder(git, tree):
        raise UserError(f"code.git.path {code.path}: there is no such folder in {code.url} at {code.revision}")
    for old in target.iterdir():
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    git.run("read-tree", tree)
    git.run_in(target, "checkout-index", "--all", "--force")


def _is_folder(git: _Git, tree: str) -> bool:
    try:
        return git.run("cat-file", "-t", tree).strip() in ("tree", "commit")
    except subprocess.CalledProcessError:
        return False


def _retry(action: Callable[[], None], code: GitCode, sleep: Callable[[float], None]) -> None:
    """Try again where the network may be at fault; a sentence where it is not."""
    wait = _FIRST_WAIT_SECONDS
    for left in reversed(range(ATTEMPTS)):
        try:
            action()
        except subprocess.CalledProcessError as error:
            if (mistake := _mistake(error, code)) is not None:
                raise mistake from None
            reason = _reason(error)
        except subprocess.TimeoutExpired:
            reason = f"no answer within {_TIMEOUT_SECONDS} seconds"
        else:
            return
        if not left:
            raise StorageError(f"code.git.url {code.url} could not be fetched in {ATTEMPTS} tries: {reason}") from None
        log.warning("%s could not be fetched, trying again in %.0f s: %s", code.url, wait, reason)
        sleep(wait)
        wait *= 2


def _mistake(error: subprocess.CalledProcessError, code: GitCode) -> UserError | None:
    if "rev-parse" in error.cmd or _says(error, _NO_REVISION):
        return UserError(
            f"code.git.revision {code.revision}: {code.url} has no such commit, tag or branch (a commit must be "
            "given whole)"
        )
    if _says(error, ("host key verification failed",)):
        return UserError(f"code.git.secretRef: known_hosts does not know the server of {code.url}")
    if _says(error, _DENIED) or _DENIED_CODE.search(_words(error)):
        return UserError(
            f"code.git.url {code.url}: the server refused the credentials: look at code.git.secretRef, which must "
            "hold username and password (a token), or ssh-privatekey and known_hosts"
        )
    if _says(error, _NO_REPOSITORY):
        return UserError(f"code.git.url {code.url}: there is no such repository, or it needs code.git.secretRef")
    return None


def _says(error: subprocess.CalledProcessError, signs: tuple[str, ...]) -> bool:
    words = _words(error)
    return any(sign in words for sign in signs)


def _words(error: subprocess.CalledProcessError) -> str:
    """What git said, without what it quotes: the URL may hold any word."""
    return _QUOTED.sub("''", (error.stderr or "").lower())


def _reason(error: subprocess.CalledProcessError) -> str:
    lines = [line.strip() for line in (error.stderr or "").splitlines() if line.strip()]
    return lines[-1] if lines else f"git ended with {error.returncode}"


def _leave_when_asked() -> None:
    """git ends with the container, whose first process this is; what it has fetched so far is of no use."""
    REQUESTED.wait()
    log.info("told to stop")
    os._exit(wire.EXIT_INTERRUPTED)


def _last_word(sentence: str) -> None:
    """On the log, and as the container's termination message."""
    log.error("%s", sentence)
    try:
        Path(wire.TERMINATION_FILE).write_text(sentence[: wire.OUTCOME_MAX_BYTES // 4])
    except OSError:
        log.debug("there is no termination message outside a container")


if __name__ == "__main__":
    sys.exit(main())
