"""How a version's model comes into its pods: a volume that is looked at, or a fetch from an object store."""

from __future__ import annotations

from typing import Any

from headway_api import quantities, wire
from headway_api.served import ModelSource, Server

Manifest = dict[str, Any]
MODEL_DIR = "/mnt/headway/model"
CHECK_CONTAINER = "check"
"""The init container that compares the model with the version's digest, and fetches it before where it has to."""
SECRET_VOLUME = "credentials"  # noqa: S105 - a name
WRONG_MODEL = 65
"""The exit code of the check."""
CHECK = f"""\
[ -r {MODEL_DIR}/model.json ] || {{
    echo "the folder of spec.versions.source has no model.json that the server may read, so none with the digest $1"
    exit {WRONG_MODEL}
}}
found="sha256:$(sha256sum < {MODEL_DIR}/model.json | cut -c1-64)"
[ "$found" = "$1" ] && exit 0
echo "the model.json in the folder has the digest $found, and spec.versions.source.digest asks for $1"
exit {WRONG_MODEL}"""


def mount(source: ModelSource) -> Manifest:
    """The server's mount of the model's folder: of a volume it sees that folder alone."""
    claim = source.persistent_volume_claim
    below = claim.path.strip("/") if claim is not None else ""
    mounted = {"name": "model", "mountPath": MODEL_DIR, "readOnly": True}
    return {**mounted, "subPath": below} if below else mounted


def volumes(source: ModelSource, server: Server) -> list[Manifest]:
    """What holds the model, and the credentials by which it is fetched."""
    claim = source.persistent_volume_claim
    if claim is not None:
        return [{"name": "model", "persistentVolumeClaim": {"claimName": claim.name, "readOnly": True}}]
    # What does not fit into the server's memory could not be served.
    room = [{"name": "model", "emptyDir": {"sizeLimit": str(server.resources.memory)}}]
    if source.secret_ref is None:
        return room
    # Not optional: the kubelet waits for one that is made a moment later.
    secret = {"secretName": source.secret_ref.name, "defaultMode": 0o440}
    return [*room, {"name": SECRET_VOLUME, "secret": secret}]


def first(source: ModelSource, server: Server) -> Manifest:
    """What the init container does; its last word is the digest."""
    if source.uri is None:
        return {"name": CHECK_CONTAINER, "command": ["sh", "-c", CHECK, "check", source.digest]}
    own_room = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - the pod's own
    mounts: list[Manifest] = [{"name": "model", "mountPath": MODEL_DIR}, own_room]
    if source.secret_ref is not None:
        mounts.append({"name": SECRET_VOLUME, "mountPath": wire.STORAGE_SECRET_DIR, "readOnly": True})
    most = str(int(quantities.parse(server.resources.memory)))
    # Without a Secret the folder is not there, and nothing is signed.
    words = ["--secret-dir", wire.STORAGE_SECRET_DIR, "--max-bytes", most, "--digest", source.digest]
    if server.signature is not None:
        words.append("--with-signature")
    return {
        "name": CHECK_CONTAINER,
        "command": ["headway", "fetch", source.uri, MODEL_DIR, *words],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - the pod's own
        "volumeMounts": mounts,
    }
