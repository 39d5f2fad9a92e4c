"""Mistakes in the text of a file, before it is an object."""

from __future__ import annotations

TEXTS: list[tuple[str, str, str]] = [
    ("a key twice", "  training: {epochs: 1}\n  training: {epochs: 2}\n", "spec.training"),
    ("a key twice in a mapping", "  training: {epochs: 1, epochs: 2}\n", "spec.training.epochs"),
    ("a merge of nothing", "  <<: none\n", "spec"),
    ("an alias of nothing", "  training: *missing\n", "spec.training"),
    ("an alias of itself", "  training: &loop {clip: *loop}\n", "spec.training"),
    ("a Python object", "  training: !!python/object/apply:os.system [ls]\n", "spec.training"),
    ("a key that is a list", "  ? [training]\n  : {}\n", "spec"),
    ("yes for a number", "  training: {epochs: yes}\n", "spec.training.epochs"),
    ("no for a name", "  model: {name: no}\n", "spec.model.name"),
    ("an octal that is none of ours", "  seed: 0x1FFFFFFFF\n", "spec.seed"),
    ("infinity", "  training: {optimizer: {lr: .inf}}\n", "spec.training.optimizer.lr"),
    ("a number that overflows", "  training: {optimizer: {lr: 1e999}}\n", "spec.training.optimizer.lr"),
    ("a bomb of aliases", "", "values"),
    ("a mapping without a floor", "  training: " + "{a: " * 3000 + "1" + "}" * 3000 + "\n", "spec.training"),
    ("a tab", "  training:\n\tepochs: 1\n", "line 7"),
    ("a missing bracket", "  training: {epochs: 1\n", "YAML"),
    ("a control character", "  image: a\x00b\n", "line 6"),
]

_HEAD = "apiVersion: headway.dev/v1alpha1\nkind: TrainingJob\nmetadata: {name: mutant}\nspec:\n"
_HEAD += "  data: {source: {builtin: {name: iris}}}\n"
_REST = {"model": "  model: {name: mlp}\n", "training": "  training: {epochs: 1}\n"}


def _bomb() -> str:
    lines = ["  a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"  {b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines) + "\n"


def file_of(body: str) -> str:
    """A file with these lines in its spec; with a bomb of aliases where there are none."""
    rest = "".join(line for key, line in _REST.items() if f"{key}:" not in body)
    return _HEAD + (body or _bomb()) + rest
