"""A job signs what it leaves, with the key of its Secret, and finds out before it trains whether that is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headway_api.bundle import BundleInfo
from headway_api.export import Export as ExportSpec
from headway_api.signatures import BadSignature, check, signed_files
from headway_trainer.errors import UserError
from headway_trainer.signing import signing_key
from signing_keys import private_pem, raw

from .pipeline_world import ONNX, World, exporting

SIGNING = {"export": ExportSpec.model_validate({"signing": {"secretRef": {"name": "signer"}}})}


def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: bytes | None, **more: Any) -> World:
    """A job that is to sign, and what its Secret holds."""
    made = World(tmp_path, monkeypatch, [2])
    secret = tmp_path / "secret"
    secret.mkdir()
    if key is not None:
        (secret / "private-key.pem").write_bytes(key)
    made.change(spec=SIGNING, **more)
    made.pipeline.around = replace(made.pipeline.around, signing_secret_dir=str(secret))
    return made


def test_a_finished_run_leaves_a_signature_over_all_files_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporting(monkeypatch, ONNX)
    made = world(tmp_path, monkeypatch, private_pem("ours"))
    result, _ = made.execute()
    signed = signed_files(made.store.read("signature.json"), [raw("ours")])
    told = made.store.read("model.json")
    files = BundleInfo[object].model_validate_json(told).files
    check(told, files.values(), signed)
    assert {"model.json", "model.onnx", "model.safetensors"} <= set(signed)
    assert [one.path for one in result.artifacts if one.name == "signature"] == ["signature.json"]
    with pytest.raises(BadSignature):
        signed_files(made.store.read("signature.json"), [raw("theirs")])


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (None, "the Secret signer has no key private-key.pem"),
        (b"no key", "no Ed25519 private key"),
        (b"", "no Ed25519"),
    ],
)
def test_a_secret_without_a_key_ends_the_run_before_any_data_is_read(
    key: bytes | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world(tmp_path, monkeypatch, key)
    with pytest.raises(UserError, match=why) as found:
        made.execute()
    assert "spec.export.signing.secretRef" in str(found.value)
    assert not made.store.exists("data")


def test_without_a_cluster_there_is_no_secret_and_nothing_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world(tmp_path, monkeypatch, None, uid="")
    assert signing_key(made.run()) is None
    made = World(tmp_path, monkeypatch, [2])
    assert signing_key(made.run()) is None, "who asks for no signature has none"
