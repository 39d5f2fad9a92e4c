"""Finished models without a run: data prepared, a model as it was drawn, exported and published by the real parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from headway_api.bundle import Provenance
from headway_api.data import Data
from headway_api.model import Model
from headway_trainer import publish
from headway_trainer.data import DataInfo, prepare
from headway_trainer.export.record import ModelInfo, staged
from headway_trainer.export.stage import export
from headway_trainer.models import build
from headway_trainer.storage import Store


def exported(folder: Path, data: dict[str, Any], job: str = "") -> tuple[str, DataInfo, torch.nn.Module]:
    """A finished model of this data, its weights as they were drawn: its folder, its data and the torch module."""
    store = Store.open(str(folder))
    spec = Data.model_validate(data)
    info = prepare(spec, seed=0, store=store)
    torch.manual_seed(0)
    model = build(Model(name="mlp"), info, load_function=lambda _: torch.nn.Identity).model
    made = export(model, info, store, staged(1))
    assert made.problem is None
    store.write("model.safetensors", b"")
    read = spec.read.model_dump(mode="json", exclude_none=True, by_alias=True) if spec.read else {}
    told = ModelInfo(data=info, signature=made.signature, parity=made.parity, read=read, provenance=Provenance(job=job))
    publish.publish_model(store, None, made, told)
    publish.tidy(store)
    return str(folder), info, model.eval()
