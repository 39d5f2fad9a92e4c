"""`spec.code`: where the user's own Python comes from. Without the section it is what the image holds."""

from __future__ import annotations

import re
from typing import Annotated

from headway_api.base import DnsName, Rule, SecretRef, Section, exactly_one, formed, stays_inside

RelativePath = Annotated[
    str, formed(r"^[^/].*$", "must be a path within the repository, which does not begin with '/'", max_length=1024)
]


class ConfigMapCode(Section):
    """Python modules as the keys of a ConfigMap, for code of up to 1 MiB."""

    name: DnsName
    """The ConfigMap's name; each key is a file, for example `train.py`."""


class GitCode(Section):
    """A revision of a git repository, fetched before each pod's main process starts."""

    rules = (
        stays_inside("path"),
        Rule(
            cel="!self.url.matches('^https?://[^/]*@')",
            message="url must not hold a user or password, which anyone who may read the job would see: use secretRef",
            holds=lambda code: re.match(r"https?://[^/]*@", code.url) is None,
            field="url",
        ),
    )

    url: Annotated[
        str,
        formed(r"^(https?|ssh|git)://[^ \t]+$", "must begin with https://, http://, ssh:// or git://", max_length=2048),
    ]
    """The repository: `https://`, `http://`, `ssh://` or `git://`. Credentials belong into secretRef, not here."""
    revision: Annotated[
        str,
        formed(
            r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
            "must be a commit, tag or branch: letters, digits and . _ / -, a letter or digit first",
            max_length=256,
        ),
    ]
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
