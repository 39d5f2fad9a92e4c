"""A folder of Python modules as a ConfigMap, by which a job's pods have the user's own code."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.fields import Object, owner_reference
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.names import GROUP

MOST_BYTES = 1 << 20
"""What a ConfigMap can hold, as the API server counts it: the files' own bytes."""
LABEL_CODE = f"{GROUP}/code-of"
"""On the ConfigMap: the job that the code was packed for. The operator looks for none of these by a label."""
LARGER = (
    "for larger code, and packages with folders, push it to a git repository and set spec.code.git, or put it into the "
    "image: docs/how-to/own-code.md"
)
_MOST_ENTRIES = 20_000
"""How much of a folder's folders is looked at for modules."""
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}", re.ASCII)
_SKIPPED = ("__pycache__",)


@dataclass(frozen=True)
class Packed:
    """The modules of a folder."""

    files: Mapping[str, bytes]
    """What is in each, by its name."""
    left_out: tuple[str, ...]
    """Names of other files and folders beside them, hidden ones apart."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


def pack(folder: Path) -> Packed:
    """The modules in a folder, `*.py`; what is hidden, and `__pycache__`, is passed over.

    Nothing else is taken, as whoever may read the namespace's ConfigMaps would see it: a folder often has data and
    credentials beside its modules. Raises ClusterError where there is no module, where modules lie in folders, which a
    ConfigMap cannot hold, and beyond MOST_BYTES.
    """
    files: dict[str, bytes] = {}
    left_out, size = [], 0
    try:
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or path.name in _SKIPPED:
                continue
            if path.is_dir():
                _refuse_package(folder, path)
            if path.suffix != ".py" or not path.is_file():
                left_out.append(path.name)
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise ClusterError(
                    f"{path} is a link to {path.resolve()}, outside of {folder}: what it leads to would go to the "
                    "cluster; put the module itself there, or take the link away"
                )
            if not _KEY.fullmatch(path.name):
                raise ClusterError(f"{path}: the name has characters that no ConfigMap takes: rename it")
            size += path.stat().st_size
            if size > MOST_BYTES:
                raise ClusterError(
                    f"the modules in {folder} have more than the {MOST_BYTES:,} bytes that a ConfigMap holds: {LARGER}"
                )
            files[path.name] = path.read_bytes()
    except OSError as error:
        raise ClusterError(f"{error.filename or folder} cannot be read: {error.strerror or error}") from error
    if not files:
        raise ClusterError(f"{folder} has no Python module (*.py): --code takes the folder that your modules are in")
    return Packed(files, tuple(left_out))


def _refuse_package(folder: Path, inner: Path) -> None:
    """Raise ClusterError where a folder has modules, as an import of them would fail in the pods only."""
    seen = 0
    for at, folders, names in os.walk(inner):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _SKIPPED]
        for name in names:
            if name.endswith(".py"):
                raise ClusterError(
                    f"{Path(at) / name} lies in a folder of {folder}, and a ConfigMap holds files, not folders: give "
                    f"--code a folder that has only the modules themselves; {LARGER}"
                )
        seen += len(names) + len(folders)
        if seen > _MOST_ENTRIES:
            return


def manifest(job: str, packed: Packed) -> Object:
    """The ConfigMap for a job of that name, which is given a name of its own by the API server and never changes."""
    texts, binary = {}, {}
    for name, content in packed.files.items():
        try:
            texts[name] = content.decode()
        except UnicodeDecodeError:  # a module that declares another encoding
            binary[name] = base64.b64encode(content).decode()
    made: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"generateName": f"{job}-code-", "labels": {LABEL_CODE: job}},
        "immutable": True,
        "data": texts,
    }
    return made | ({"binaryData": binary} if binary else {})


def adopt(kubectl: Kubectl, name: str, job: Object) -> None:
    """Let a ConfigMap go when its job is deleted. Raises ClusterError."""
    kubectl.patch(f"configmaps/{name}", {"metadata": {"ownerReferences": [owner_reference(job)]}})


def remove(kubectl: Kubectl, name: str) -> None:
    """Delete a ConfigMap that no job came to use. Raises ClusterError."""
    kubectl.run("delete", f"configmaps/{name}", "--ignore-not-found", "--wait=false")
