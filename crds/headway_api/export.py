"""`spec.export`: the forms in which the finished model is left."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from headway_api.base import SecretRef, Section, all_different

Format = Literal["safetensors", "onnx"]


class Signing(Section):
    """Who vouches for the model: `signature.json` beside it, by a key of the job's namespace."""

    secret_ref: SecretRef
    """A Secret with an Ed25519 key in PEM, `private-key.pem`. The head pod alone mounts it: the code of the job that
    runs there can read it."""


class Export(Section):
    """The forms in which the finished model is left, beside model.json."""

    formats: Annotated[
        list[Format],
        Field(min_length=1, max_length=2, json_schema_extra={"x-kubernetes-list-type": "set"}),
        AfterValidator(all_different),
    ] = ["safetensors", "onnx"]  # noqa: RUF012 - pydantic copies it
    """`safetensors`: the weights. `onnx`: the whole model, from raw rows to predictions, which `headway predict` takes.

    Without `onnx` a run's end takes some seconds of CPU less. Where there is no model.onnx, as a model cannot be
    exported, the weights are left whatever is asked for. What scikit-learn or XGBoost fits is left as `onnx` alone.
    """
    signing: Signing | None = None
    """Has the model signed, for deployments that ask for it; `headway sign` does the same by hand."""
