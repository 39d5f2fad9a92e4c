"""Lay a user's pod template under what Headway sets.

The rules, in the words of the pod template's fields:
- Headway's, whatever the template says: the labels it needs, `restartPolicy`, `schedulingGroup` where it makes a
  PodGroup, and of the container `main` its `image`, `command` (`args` go), `startupProbe`, `terminationMessagePath` and
  `terminationMessagePolicy`, the environment variables and mount paths that Headway uses, and the resources that
  `spec.head.resources` or `spec.workers.resources` names.
- The template's, where it says anything: every other field. `securityContext` (of the pod and of `main`) is merged
  field by field, `tolerations` by key.
- `shareProcessNamespace` is set only where `main` is alone, and the template does not say `hostPID`, which excludes it.
- Lists with names (`containers`, `initContainers`, `volumes`, `env`, `volumeMounts` by `mountPath`) are merged entry
  by entry: entries with names of their own are kept beside Headway's.
"""

from __future__ import annotations

import copy
from typing import Any

from headway_api import wire
from headway_operator.training.render.objects import Manifest

FORCED_IN_SPEC = ("restartPolicy", "schedulingGroup")
FORCED_IN_MAIN = (
    "name",
    "image",
    "command",
    "startupProbe",
    "terminationMessagePath",
    "terminationMessagePolicy",
)


class RenderError(ValueError):
    """The template is not of the shape of a pod template. The message says which field, and what it must be."""


def lay_under(template: Any, pod: Manifest, field: str) -> Manifest:
    """The pod with the template under it.

    `field` is where the template stands, for messages. Raises RenderError on a template of the wrong shape.
    """
    template = copy.deepcopy(_mapping(template, field))
    unknown = sorted(str(key) for key in set(template) - {"metadata", "spec"})
    if unknown:
        raise RenderError(f"{field} has the field {unknown[0]!r}: a pod template has metadata and spec only")
    theirs = _mapping(template.get("metadata"), f"{field}.metadata")
    ours = pod["metadata"]
    labels = _mapping(theirs.get("labels"), f"{field}.metadata.labels")
    annotations = _mapping(theirs.get("annotations"), f"{field}.metadata.annotations")
    metadata = {**ours, "labels": labels | ours["labels"]}
    if annotations or "annotations" in ours:
        metadata["annotations"] = annotations | ours.get("annotations", {})
    spec = _merge_spec(_mapping(template.get("spec"), f"{field}.spec"), pod["spec"], f"{field}.spec")
    return {**pod, "metadata": metadata, "spec": spec}


def _merge_spec(theirs: Manifest, ours: Manifest, field: str) -> Manifest:
    merged = {**ours, **theirs} | {key: ours[key] for key in FORCED_IN_SPEC if key in ours}
    merged["securityContext"] = ours["securityContext"] | _mapping(
        theirs.get("securityContext"), f"{field}.securityContext"
    )
    merged["volumes"] = _by(theirs.get("volumes"), ours["volumes"], "name", f"{field}.volumes")
    tolerations = _list(theirs.get("tolerations"), f"{field}.tolerations")
    keys = {_text(entry, "key", f"{field}.tolerations[{index}]") for index, entry in enumerate(tolerations)}
    merged["tolerations"] = [*tolerations, *(entry for entry in ours["tolerations"] if entry["key"] not in keys)]
    init = _list(theirs.get("initContainers"), f"{field}.initContainers")
    own_init = ours.get("initContainers", [])
    if own_init or init:
        merged["initContainers"] = _by(init, own_init, "name", f"{field}.initContainers")
    merged["containers"] = _merge_containers(theirs.get("containers"), ours["containers"][0], f"{field}.containers")
    if "shareProcessNamespace" not in theirs and (merged.get("hostPID") or _has_company(merged)):
        merged.pop("shareProcessNamespace", None)
    return merged


def _has_company(spec: Manifest) -> bool:
    """Whether other containers run beside `main`: who shares its processes reads its environment and its files."""
    sidecars = [entry for entry in spec.get("initContainers") or [] if entry.get("restartPolicy") == "Always"]
    return bool(spec["containers"][1:] or sidecars)


def _merge_containers(theirs: Any, main: Manifest, field: str) -> list[Manifest]:
    containers = _list(theirs, field)
    named = [entry for entry in containers if entry.get("name") == wire.MAIN_CONTAINER]
    if len(named) > 1:
        raise RenderError(f"{field} has the container {wire.MAIN_CONTAINER!r} twice: keep one of them")
    under = named[0] if named else {}
    return [_merge_main(under, main, f"{field}[{wire.MAIN_CONTAINER}]"), *(e for e in containers if e is not under)]


def _merge_main(theirs: Manifest, ours: Manifest, field: str) -> Manifest:
    merged = {**ours, **theirs} | {key: ours[key] for key in FORCED_IN_MAIN}
    merged.pop("args", None)
    merged["env"] = _by(theirs.get("env"), ours["env"], "name", f"{field}.env")
    merged["volumeMounts"] = _by(theirs.get("volumeMounts"), ours["volumeMounts"], "mountPath", f"{field}.volumeMounts")
    security = _mapping(theirs.get("securityContext"), f"{field}.securityContext")
    merged["securityContext"] = ours["securityContext"] | security
    resources = _mapping(theirs.get("resources"), f"{field}.resources")
    merged["resources"] = {
        **resources,
        **{
            part: _mapping(resources.get(part), f"{field}.resources.{part}") | ours["resources"][part]
            for part in ("requests", "limits")
        },
    }
    return merged


def _by(theirs: Any, ours: list[Manifest], key: str, field: str) -> list[Manifest]:
    taken = {entry[key] for entry in ours}
    entries = enumerate(_list(theirs, field))
    return [*ours, *(entry for index, entry in entries if _text(entry, key, f"{field}[{index}]") not in taken)]


def _text(entry: Manifest, key: str, field: str) -> str | None:
    """What entries are told apart by: text, or nothing."""
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise RenderError(f"{field}.{key} must be a string")
    return value


def _mapping(value: Any, field: str) -> Manifest:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RenderError(f"{field} must be a mapping")
    return value


def _list(value: Any, field: str) -> list[Manifest]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise RenderError(f"{field} must be a list of mappings")
    return value
