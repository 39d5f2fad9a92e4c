"""Submitting a job: what its document becomes by the options, and what is made in the cluster, in which order."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headway_api.job import NAME_MAX_LENGTH
from headway_cli.cluster import code_maps
from headway_cli.cluster.code_maps import Packed
from headway_cli.cluster.errors import ClusterError, ExistsError, RefusedError, UsageError
from headway_cli.cluster.fields import Object, text, texts
from headway_cli.cluster.kubectl import Kubectl, Target, objects
from headway_cli.cluster.names import ANNOTATION_SUBMITTED, LABEL_KEY, TRAINING_JOBS
from headway_cli.job_file import refuse_mistakes
from headway_cli.overrides import Setting, set_value

MOST_KEY = 256
"""Characters of an idempotency key."""
_DIGEST = 40
"""Hex digits of a digest: a label holds 63 characters."""
_SUFFIX = 10
"""Hex digits that take the place of the API server's random ones in a generated name."""
Note = Callable[[str], None]
"""Takes a sentence for people."""


@dataclass(frozen=True)
class Prepared:
    """A job that is ready to be submitted, judged by the models."""

    document: Object
    """Where code goes along, `spec.code` has a name that stands for the ConfigMap's."""
    packed: Packed | None = None
    """The code."""
    key: str | None = None
    """The idempotency key."""


@dataclass(frozen=True)
class Submitted:
    """What has become of it."""

    job: Object
    """As the API server has it."""
    config_map: str | None = None
    """The name of the ConfigMap that was made for its code."""
    again: bool = False
    """Whether it had been submitted with the same key before, so that nothing was made."""


def prepared(
    document: Mapping[str, Any],
    *,
    settings: Iterable[Setting] = (),
    name: str | None = None,
    packed: Packed | None = None,
    key: str | None = None,
) -> Prepared:
    """A document with what the options say, judged again.

    settings: fields of spec. name: in place of its own. key: by which a repeated submit finds the job of before. Raises
    InputError; InvalidJobError names every mistake.
    """
    if key is not None and not (0 < len(key) <= MOST_KEY and key.isprintable()):
        raise UsageError(f"an idempotency key has 1 to {MOST_KEY} printable characters")
    made = copy.deepcopy(dict(document))
    for setting in settings:
        set_value(made, setting)
    if name is not None:
        made["metadata"].pop("generateName", None)
        made["metadata"]["name"] = name
    if packed is not None:
        # The API server gives the ConfigMap its name; until then this one stands for it.
        made["spec"]["code"] = {"configMap": {"name": f"{title(made)}-code"}}
    made.pop("status", None)
    refuse_mistakes(made)
    if key is not None:
        _keyed(made, packed, key)
        refuse_mistakes(made)
    return Prepared(made, packed, key)


def _keyed(document: Object, packed: Packed | None, key: str) -> None:
    """Let a document carry its key, and what was submitted with it; a generated name then comes of the key, so that of
    two that submit at the same time the API server refuses one."""
    whole = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name, content in sorted(packed.files.items()) if packed is not None else ():
        whole.update(f"\n{name} {hashlib.sha256(content).hexdigest()}".encode())
    metadata = document["metadata"]
    digest = _digest(key)
    metadata["labels"] = {**(metadata.get("labels") or {}), LABEL_KEY: digest}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), ANNOTATION_SUBMITTED: whole.hexdigest()[:_DIGEST]}
    if not metadata.get("name"):
        begin = metadata.pop("generateName")[: NAME_MAX_LENGTH - _SUFFIX]
        metadata["name"] = f"{begin}{digest[:_SUFFIX]}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:_DIGEST]


def submit(kubectl: Kubectl, given: Prepared, note: Note, *, dry_run: bool = False) -> Submitted:
    """Create the job, its code first. note: is told what people should know beside. dry_run: the API server judges it,
    and nothing is made.

    Raises ClusterError; ExistsError where there is a job of that name that was not submitted with this key.
    """
    if (found := _before(kubectl, given)) is not None:
        return found
    try:
        return _made(kubectl, given, note, dry_run=dry_run)
    except ExistsError as error:
        # Another one was quicker with the same key.
        if (found := _before(kubectl, given)) is not None:
            return found
        raise ExistsError(_exists(error, given.document, kubectl.target)) from error


def _before(kubectl: Kubectl, given: Prepared) -> Submitted | None:
    """The job that was submitted with this key before. Raises ExistsError where that was another one."""
    if given.key is None:
        return None
    found = objects(kubectl.get(TRAINING_JOBS, f"--selector={LABEL_KEY}={_digest(given.key)}"))
    there = [job for job in found if not text(job, "metadata", "deletionTimestamp")]
    if not there:
        return None
    first = min(there, key=lambda job: (text(job, "metadata", "creationTimestamp"), text(job, "metadata", "name")))
    wanted = given.document["metadata"]["annotations"][ANNOTATION_SUBMITTED]
    if texts(first, "metadata", "annotations").get(ANNOTATION_SUBMITTED) != wanted:
        raise ExistsError(
            f"the key {given.key} was given to trainingjob/{text(first, 'metadata', 'name')}, which was submitted with "
            "another file, code or options: give another job another key"
        )
    return Submitted(first, again=True)


def _made(kubectl: Kubectl, given: Prepared, note: Note, *, dry_run: bool) -> Submitted:
    """The job as the API server has it, its code first. Raises ClusterError."""
    document = given.document
    if given.packed is None:
        return Submitted(kubectl.create(document, dry_run=dry_run))
    code = code_maps.manifest(title(document), given.packed)
    # Judged before anything is made, so that a mistake leaves no ConfigMap behind.
    judged = kubectl.create(document, dry_run=True)
    if dry_run:
        kubectl.create(code, dry_run=True)
        return Submitted(judged)
    name = text(kubectl.create(code), "metadata", "name")
    document = copy.deepcopy(document)
    document["spec"]["code"]["configMap"]["name"] = name
    try:
        made = kubectl.create(document)
    except RefusedError:
        try:
            code_maps.remove(kubectl, name)
        except ClusterError as error:
            note(f"{error}\nconfigmap/{name}, with the job's code, was left behind.")
        raise
    except (ClusterError, KeyboardInterrupt):
        note(f"Whether the job was made is not known. Its code is configmap/{name}: delete that if there is no job.")
        raise
    try:
        code_maps.adopt(kubectl, name, made)
    except ClusterError as error:
        note(f"{error}\nSo configmap/{name} stays when the job is deleted: `kubectl delete configmap {name}` then.")
    return Submitted(made, name)


def title(document: Object) -> str:
    """The document's name, or what its name will begin with."""
    metadata: dict[str, Any] = document["metadata"]
    return str(metadata.get("name") or metadata.get("generateName")).rstrip("-")


def path_warning(document: Object) -> str | None:
    """A sentence on data that only this machine may have."""
    uri = text(document, "spec", "data", "source", "uri")
    if not uri or ("://" in uri and not uri.startswith("file://")):
        return None
    return (
        f"spec.data.source.uri {uri} is a path: the job's pods look for it in their image and volumes, and see no "
        "file of this machine (docs/how-to/data-and-storage.md)"
    )


def _exists(error: ExistsError, document: Object, target: Target) -> str:
    name = title(document)
    return (
        f"{error}\nIt was left as it is: see `headway status {name}{target.options()}`. Give this job another name "
        f"with --name, or delete that one first: `kubectl delete trainingjob {name}{target.options()}`"
    )
