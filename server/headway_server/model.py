"""The model that is served: its bundle checked, loaded into onnxruntime, and run on tensors. Knows no protocol."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime
from pydantic import JsonValue, ValidationError

from headway_api.bundle import MODEL_INFO_FILE, ONNX_FILE, VERSION, BundleInfo, FileDigest, Signature, mismatch
from headway_api.external_data import has_external_data
from headway_api.signatures import MOST_BYTES as MOST_SIGNATURE_BYTES
from headway_api.signatures import SIGNATURE_FILE, BadSignature, check, signed_files
from headway_api.training_rows import REFERENCE_FILE, Reference
from headway_server.errors import BadModel, InvalidRequest, ModelFailed

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]
"""Arrays by the names of inputs or outputs; their first axis is the rows. Text is an array of objects, each a str."""
DATATYPES = {"double": "FP64", "float": "FP32", "uint8": "UINT8", "string": "BYTES"}
"""The protocol's names of the types that a signature knows."""
DTYPES: Mapping[str, np.dtype[Any]] = {
    "FP64": np.dtype("<f8"),
    "FP32": np.dtype("<f4"),
    "UINT8": np.dtype("u1"),
    "BYTES": np.dtype(object),
}
"""What holds the elements of each of these."""
RUNTIME_ERRORS = tuple(
    kind for kind in vars(runtime).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
"""What onnxruntime raises for a model that it cannot load or run: it has no common base for them."""
MOST_INFO_BYTES = 64 * 1024 * 1024
"""model.json may not be longer: it is read whole, before anything of it is known."""
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_REPLACE = "take the folder as its run wrote it"
Info = BundleInfo[JsonValue]


@dataclass(frozen=True)
class TensorInfo:
    """One input or output, as the protocol describes it."""

    name: str
    datatype: str
    """FP64, FP32, UINT8 or BYTES."""
    shape: tuple[int, ...]
    """With the rows as its first axis, -1 for a size that is the client's to choose."""


class _InferenceSession(onnxruntime.InferenceSession):  # type: ignore[misc]  # onnxruntime has no types
    def _validate_input(self, names: list[str]) -> None:
        """Leaves that to `check`: here it looks each input up in a list, which of 20,000 takes seconds a run."""


class ServedModel:
    """A loaded model. `run` may be called by several threads."""

    def __init__(
        self,
        name: str,
        version: str,
        *,
        digest: str,
        info: Info,
        signature: Signature,
        session: Any,
        reference: Reference | None = None,
        bundle_digest: str = "",
    ) -> None:
        self.name = name
        self.version = version
        self.digest = digest
        """sha256 of model.onnx, in hex."""
        self.bundle_digest = bundle_digest
        """That of model.json, as a ModelDeployment names it: sha256: and hex digits."""
        self.info = info
        """What model.json tells of it."""
        self.reference = reference
        """What reference.json tells of the training rows; None where there is none."""
        self.signature = signature
        self.inputs = tuple(_told(one.name, one.type, one.shape) for one in signature.inputs)
        self.outputs = tuple(_told(one.name, one.type, one.shape) for one in signature.outputs)
        self.input_of = {one.name: one for one in self.inputs}
        self.output_of = {one.name: one for one in self.outputs}
        self.all_json: Mapping[str, bool] = dict.fromkeys(self.output_of, False)
        """The outputs in their order, none of them binary."""
        self.all_binary: Mapping[str, bool] = dict.fromkeys(self.output_of, True)
        self.values_per_row = sum(math.prod(one.shape[1:]) for one in self.outputs)
        """Of all outputs."""
        self.may_miss = frozenset(one.name for one in signature.inputs if one.missing is not None)
        """The inputs that may have missing values: NaN, or an empty text."""
        self._output_names = [one.name for one in self.outputs]
        self._session = session

    @staticmethod
    def open(
        folder: str,
        *,
        name: str | None = None,
        version: str | None = None,
        threads: int = 1,
        keys: Sequence[bytes] = (),
    ) -> ServedModel:
        """The model in a folder that a run wrote, checked: a local path or a file:// URI.

        name: what clients call it; by default the job's name, or the folder's. version: by default 1. threads: how many
        compute one run. keys: Ed25519 keys of which one has to have signed it, if there are any. Raises BadModel.
        """
        path = _local(folder)
        info, told_digest = _info(path, keys)
        file = info.files.get("onnx")
        if file is None or info.signature is None:
            raise BadModel(
                f"{path} holds no {ONNX_FILE}: report.md there says why it could not be exported, unless its job's "
                "export.formats leave it out"
            )
        data = _read(path / ONNX_FILE)
        digest = _checked(data, file, path / ONNX_FILE)
        session = _session(data, info.signature, path / ONNX_FILE, threads)
        called = name or info.provenance.job or path.resolve().name
        for what, value in (("name", called), ("version", version or "1")):
            if not _NAME.fullmatch(value):
                raise BadModel(
                    f"the model's {what} {value[:80]!r} cannot stand in a path: give one of letters, digits, '.', '_' "
                    f"and '-', at most 253, with --{what}"
                )
        return ServedModel(
            called,
            version or "1",
            digest=digest,
            info=info,
            signature=info.signature,
            session=session,
            reference=_reference(path, info),
            bundle_digest=f"sha256:{told_digest}",
        )

    def check(self, feeds: Tensors) -> int:
        """How many rows these tensors are. Raises InvalidRequest where they are not what the model takes."""
        expected = self.input_of
        rows = -1
        for name, array in feeds.items():
            told = expected.get(name)
            if told is None:
                raise InvalidRequest(f"inputs: the model {self.name} has no input {name[:80]!r}")
            if array.dtype != DTYPES[told.datatype]:
                raise InvalidRequest(f"inputs: {name!r} must be {told.datatype}, but it is an array of {array.dtype}")
            shape = array.shape
            if shape[1:] != told.shape[1:] or not shape:
                raise InvalidRequest(
                    f"inputs: {name!r} must have the shape {list(told.shape)}, -1 being the rows, not {list(shape)}"
                )
            if rows not in (-1, shape[0]):
                raise InvalidRequest(f"inputs: {name!r} has {shape[0]} rows, the inputs before it {rows}")
            rows = shape[0]
        if len(feeds) != len(expected):
            missing = [name for name in expected if name not in feeds]
            raise InvalidRequest(f"inputs: {missing[0]!r} is missing" + _others(len(missing) - 1))
        if rows < 1:
            raise InvalidRequest("inputs: there is no row")
        return rows

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """The outputs by their names, for tensors that `check` has seen. Raises ModelFailed."""
        try:
            found = self._session.run(self._output_names, feeds)
        except RUNTIME_ERRORS as error:
            raise ModelFailed(
                f"onnxruntime cannot run the model on these rows: {str(error).splitlines()[0]}"
            ) from error
        outputs = dict(zip(self._output_names, found, strict=True))
        for one in self.outputs:
            shape = outputs[one.name].shape
            if shape[1:] != one.shape[1:]:
                raise ModelFailed(f"the model gives {one.name!r} of shape {list(shape)}, not {list(one.shape)}")
        return outputs


def _told(name: str, kind: str, shape: list[int]) -> TensorInfo:
    return TensorInfo(name, DATATYPES[kind], (-1, *shape))


def _others(count: int) -> str:
    return f", and {count} more" if count > 0 else ""


def _local(folder: str) -> Path:
    scheme = urlsplit(folder).scheme
    if scheme == "file":
        return Path(unquote(urlsplit(folder).path))
    if "://" in folder:
        raise BadModel(f"{folder}: the server reads folders of this machine; copy the model's folder here first")
    return Path(folder)


def _read(file: Path, most: int | None = None) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(-1 if most is None else most + 1)
    except FileNotFoundError as error:
        raise BadModel(f"{file} is not there: give the folder of a finished run") from error
    except OSError as error:
        raise BadModel(f"{file} cannot be read: {error.strerror}") from error
    if most is not None and len(data) > most:
        raise BadModel(f"{file} is longer than {most} bytes: {_REPLACE}")
    return data


def _info(path: Path, keys: Sequence[bytes]) -> tuple[Info, str]:
    """model.json, and its sha256. Where it has to be signed, nothing of it is looked at before it is known to be."""
    data = _read(path / MODEL_INFO_FILE, MOST_INFO_BYTES)
    signed = _signed(path, keys) if keys else None
    if signed is not None and signed.get(MODEL_INFO_FILE) != hashlib.sha256(data).hexdigest():
        raise BadModel(f"{path / MODEL_INFO_FILE} is another one than {SIGNATURE_FILE} was made for: it is not served")
    try:
        info = Info.model_validate_json(data)
    except ValidationError as error:
        raise BadModel(f"{path / MODEL_INFO_FILE} is not what this version of Headway reads: {_REPLACE}") from error
    if info.version > VERSION:
        raise BadModel(f"{path} was made by a newer version of Headway: serve it with that one")
    if signed is not None:
        try:
            check(data, info.files.values(), signed)
        except BadSignature as error:
            raise BadModel(f"{path}: {error}: it is not served") from error
    return info, hashlib.sha256(data).hexdigest()


def _signed(path: Path, keys: Sequence[bytes]) -> Mapping[str, str]:
    """The digests that one of the keys vouches for."""
    if not (path / SIGNATURE_FILE).exists():
        raise BadModel(
            f"{path} has no {SIGNATURE_FILE}, and only signed models are served here: have its job sign it"
            " (export.signing), or sign it with headway sign"
        )
    try:
        return signed_files(_read(path / SIGNATURE_FILE, MOST_SIGNATURE_BYTES), keys)
    except BadSignature as error:
        raise BadModel(f"{path}: {error}: it is not served") from error


def _checked(data: bytes, told: FileDigest, file: Path) -> str:
    """The sha256 of a file, which is what model.json tells of it."""
    digest = hashlib.sha256(data).hexdigest()
    if digest != told.sha256:
        raise BadModel(
            f"{file} has the sha256 {digest}, but {MODEL_INFO_FILE} tells of {told.sha256}: copy the folder again"
        )
    return digest


def _reference(path: Path, info: Info) -> Reference | None:
    """What the training rows looked like, where the folder tells it: a model answers without it, too."""
    told, file = info.files.get("reference"), path / REFERENCE_FILE
    if told is None or not file.exists():
        return None
    data = _read(file, MOST_INFO_BYTES)
    _checked(data, told, file)
    try:
        return Reference.model_validate_json(data)
    except ValidationError as error:
        raise BadModel(f"{file} is not what this version of Headway reads: {_REPLACE}") from error


def _session(data: bytes, signature: Signature, file: Path, threads: int) -> Any:
    try:
        external = has_external_data(data)
    except ValueError as error:
        raise BadModel(f"{file} is no ONNX model ({error}): {_REPLACE}") from error
    if external:
        raise BadModel(
            f"{file} keeps tensors in other files (ONNX external data), which are not read: save the model with all of "
            "them inside"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # errors are raised; warnings are about what it does to the graph
    # Threads that wait for work by spinning burn the CPU that the pod's limit counts.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Else the bytes of a model may choose a format of onnxruntime's own.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        session = _InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except RUNTIME_ERRORS as error:
        raise BadModel(f"{file} is no model that onnxruntime can load: {_REPLACE}") from error
    if problem := mismatch(session.get_inputs(), session.get_outputs(), signature):
        raise BadModel(f"{file} {problem}, which is not what `signature` in {MODEL_INFO_FILE} tells of: {_REPLACE}")
    return session
