"""A program called kubectl that answers as a real one has answered, and keeps what it was asked."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ANSWERS = Path(__file__).parent / "kubectl_answers"
"""What kubectl 1.32 has said of a real API server with Headway's kinds and operator (tests/cluster has one)."""
_PROGRAM = """#!{python} -SE
import json, os, sys, time
folder, words = {folder!r}, sys.argv[1:]
with open(folder + "/calls", "a") as calls:
    calls.write(json.dumps(words) + "\\n")
def fits(first, *parts):
    return words[:1] == [first] and all(any(part in word for word in words) for part in parts)


with open(folder + "/rules") as rules:
    found = [rule for rule in json.load(rules) if fits(*rule["words"])]
# Where several rules fit, the first has its say, and then the next: the last goes on.
unknown = "error: nobody has told the test's kubectl of " + " ".join(words)
rule = found[0] if found else {{"stdout": "", "stderr": unknown, "code": 99}}
if len(found) > 1:
    with open(folder + "/rules") as rules:
        left = json.load(rules)
    left.remove(rule)
    with open(folder + "/rules", "w") as rules:
        json.dump(left, rules)
if rule.get("stdin"):
    with open(folder + "/stdin", "a") as kept:
        kept.write(sys.stdin.read())
if rule.get("runs"):
    words = words[words.index("--") + 1 :]
    os.execv(sys.executable, [sys.executable, *words[1:]])
sys.stdout.write(rule["stdout"])
sys.stdout.flush()
sys.stderr.write(rule["stderr"])
if rule.get("hangs"):
    time.sleep(600)
sys.exit(rule["code"])
"""


def recorded(name: str) -> dict[str, Any]:
    """An answer, or an object, that was recorded."""
    found: dict[str, Any] = json.loads((ANSWERS / f"{name}.json").read_text())
    return found


def error(name: str) -> str:
    """What kubectl has said to standard error."""
    return str(recorded("errors")[name])


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    """A list as kubectl prints one."""
    return {"apiVersion": "v1", "kind": "List", "items": list(items), "metadata": {"resourceVersion": ""}}


@dataclass
class FakeKubectl:
    """What it is to answer."""

    folder: Path
    rules: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def on_path(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
        """Make it the kubectl of this process and its children; it knows the recorded kubeconfig."""
        programs = folder / "programs"
        programs.mkdir()
        program = programs / "kubectl"
        program.write_text(_PROGRAM.format(python=os.path.realpath(sys.executable), folder=str(folder)))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        made = cls(folder)
        made.says(recorded("config"), "config", "view")
        return made

    def says(self, answer: dict[str, Any] | str, *words: str, reads: bool = False) -> None:
        """Answer calls that begin with the first word and have the others in theirs.

        Of several rules that fit, the first is used up first.
        """
        text = answer if isinstance(answer, str) else json.dumps(answer, indent=1)
        self._add({"words": words, "stdout": text, "stderr": "", "code": 0, "stdin": reads})

    def fails(self, stderr: str, *words: str, code: int = 1, stdout: str = "") -> None:
        """Fail such calls."""
        self._add({"words": words, "stdout": stdout, "stderr": stderr, "code": code})

    def hangs(self, *words: str, stdout: str = "") -> None:
        """Say something, and then nothing any more."""
        self._add({"words": words, "stdout": stdout, "stderr": "", "code": 0, "hangs": True})

    def runs(self, *words: str) -> None:
        """Run here what follows the --, as a pod would: Python."""
        self._add({"words": words, "stdout": "", "stderr": "", "code": 0, "runs": True})

    def calls(self, word: str = "") -> list[list[str]]:
        """The words of the calls so far that have this one first."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [call for call in map(json.loads, lines) if not word or call[0] == word]

    def stdin(self) -> str:
        """What it was given to read."""
        return (self.folder / "stdin").read_text()

    def _add(self, rule: dict[str, Any]) -> None:
        path = self.folder / "rules"
        left = json.loads(path.read_text()) if path.exists() else []
        path.write_text(json.dumps([*left, rule]))
