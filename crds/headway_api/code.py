"""`spec.code`: where the user's own Python comes from. Without the section it is what the image holds."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from headway_api.base import DnsName, SecretRef, Section, exactly_one

RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^/].*$")]


class ConfigMapCode(Section):
    """Python modules as the keys of a ConfigMap, for code of up to 1 MiB."""

    name: DnsName
    """The ConfigMap's name; each key is a file, for example `train.py`."""


class GitCode(Section):
    """A revision of a git repository, fetched before each pod's main process starts."""

    url: Annotated[str, StringConstraints(max_length=2048, pattern=r"^(https?|ssh|git)://[^\s]+$")]
    """The repository: `https://`, `http://`, `ssh://` or `git://`. Credentials belong into secretRef, not here."""
    revision: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]
    """A commit, tag or branch.

    Only a commit is the same for each pod and attempt; the result records which commit ran.
    """
    path: RelativePath | None = None
    """The folder in the repository that goes on PYTHONPATH; the root if absent."""
    secret_ref: SecretRef | None = None
    """A Secret with `username` and `password` (a token), or with `ssh-privatekey` and `known_hosts`."""


class Code(Section):
    """The user's own code, put on PYTHONPATH of the head and of each worker."""

    rules = (exactly_one("configMap", "git", of="code"),)

    config_map: ConfigMapCode | None = None
    """Code from a ConfigMap."""
    git: GitCode | None = None
    """Code from a git repository."""
