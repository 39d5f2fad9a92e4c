"""Where a server's pods write records of requests: a folder of a claim, which is all that they see of it."""

from __future__ import annotations

from typing import Any

from headway_api import quantities
from headway_api.data import ClaimPath
from headway_api.served import Records

Manifest = dict[str, Any]
VOLUME = "records"
"""The one volume of a server that is written to: the chart's policies know it by this name."""
FOLDER = "/mnt/headway/records"
CANNOT_WRITE = 66
"""The exit code where the folder cannot be made or written to."""
MAKE = f"""\
mkdir -p "$1" && [ -w "$1" ] && exit 0
echo "the claim of spec.server.records has no folder that the user $(id -u) of the server may write to: $2"
exit {CANNOT_WRITE}"""
"""Were it the kubelet that makes the folder, as it does with a subPath, it would be root's."""


def records_options(records: Records | None) -> list[str]:
    """The words of the command line."""
    if records is None:
        return []
    words = ["--records-sample", str(records.sample), "--records-payloads", records.payloads]
    words += [word for column in records.mask for word in ("--records-mask", _as_it_is(column))]
    if records.persistent_volume_claim is not None:
        words += ["--records-folder", FOLDER, "--records-max-bytes", str(int(quantities.parse(records.max_bytes)))]
    return words


def with_records(spec: Manifest, deployment: str, records: Records | None) -> Manifest:
    """A pod's spec, with the folder where records have one."""
    claim = records.persistent_volume_claim if records is not None else None
    if claim is None:
        return spec
    [check], [server] = spec["initContainers"], spec["containers"]
    path = _below(claim, deployment)
    whole = {"name": VOLUME, "mountPath": FOLDER}
    maker = {
        **check,
        "name": VOLUME,
        "command": ["sh", "-c", MAKE, "records", *map(_as_it_is, (f"{FOLDER}/{path}", path))],
        "volumeMounts": [whole],
    }
    mounts = [*server["volumeMounts"], {**whole, "subPath": path}]
    return {
        **spec,
        "initContainers": [check, maker],
        "containers": [{**server, "volumeMounts": mounts}],
        "volumes": [*spec["volumes"], {"name": VOLUME, "persistentVolumeClaim": {"claimName": claim.name}}],
    }


def _as_it_is(word: str) -> str:
    """Kubernetes puts variables in place of $(NAME) in the words of a container."""
    return word.replace("$(", "$$(")


def _below(claim: ClaimPath, deployment: str) -> str:
    """Deployments do not write into each other's folders, nor into one that holds a model."""
    return "/".join(part for part in (*claim.path.split("/"), f"{deployment}-records") if part)
