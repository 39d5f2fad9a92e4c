"""`headway sign` and `headway verify`, and a server that answers with signed models alone."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from obstore.store import LocalStore

from headway_api.signatures import in_a_word
from headway_cli.main import main
from headway_server.errors import BadModel
from headway_server.fetch import fetch
from headway_server.model import ServedModel
from served import bundle, echo
from signing_keys import private_pem, public_pem, raw

OURS = (raw("ours"),)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with the keys `ours` and `theirs`."""
    for name in ("ours", "theirs"):
        (tmp_path / f"{name}.pem").write_bytes(private_pem(name))
        (tmp_path / f"{name}.pub").write_text(public_pem(name))
    return tmp_path


def headway(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def signed(keys: Path) -> Path:
    """A model that `ours` has signed."""
    folder = bundle(keys / "model")
    done = headway("sign", folder, "--key", keys / "ours.pem")
    assert done.exit_code == 0, done.output
    assert "vouches for model.json and 1 files that it tells of" in done.output
    return Path(folder)


def test_a_signed_model_is_verified_and_served_with_a_key_and_without_one(signed: Path, keys: Path) -> None:
    for words in (("--public-key", keys / "ours.pub"),
                  ("--public-key", keys / "theirs.pub", "--public-key", in_a_word(raw("ours")))):  # fmt: skip
        done = headway("verify", signed, *words)
        assert (done.exit_code, "is signed" in done.output) == (0, True)
    assert ServedModel.open(str(signed), keys=OURS).name == "churn"
    assert ServedModel.open(str(signed), keys=(raw("theirs"), *OURS)).name == "churn"
    assert ServedModel.open(str(signed)).name == "churn"


def _other_model_json(folder: Path) -> None:
    told = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(told | {"version": 1}))


def _changed_onnx(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)


def _another_bundle(folder: Path) -> None:
    other = bundle(folder.parent / "other", echo("!"))
    for name in ("model.json", "model.onnx"):
        shutil.copyfile(Path(other) / name, folder / name)


def _anothers_signature(folder: Path) -> None:
    other = Path(bundle(folder.parent / "other", echo("!")))
    headway("sign", other, "--key", folder.parent / "ours.pem")
    shutil.copyfile(other / "signature.json", folder / "signature.json")


def _by_another_key(folder: Path) -> None:
    headway("sign", folder, "--key", folder.parent / "theirs.pem")


def _without(folder: Path) -> None:
    (folder / "signature.json").unlink()


def _huge(folder: Path) -> None:
    (folder / "signature.json").write_bytes(b" " * 10_000_000)


def _cut(folder: Path) -> None:
    data = (folder / "signature.json").read_bytes()
    (folder / "signature.json").write_bytes(data[:-20])


def _a_folder(folder: Path) -> None:
    (folder / "signature.json").unlink()
    (folder / "signature.json").mkdir()


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        (_other_model_json, "another one than signature.json was made for"),
        (_changed_onnx, "has the sha256"),
        (_another_bundle, "another one than signature.json was made for"),
        (_anothers_signature, "another one than signature.json was made for"),
        (_by_another_key, "no valid signature by any of the 1 keys"),
        (_without, "only signed models are served here"),
        (_huge, "is longer than 65536 bytes"),
        (_cut, "no DSSE envelope"),
        (_a_folder, "cannot be read"),
    ],
)
def test_a_server_with_a_key_serves_nothing_else(
    attack: Callable[[Path], None], why: str, signed: Path, keys: Path
) -> None:
    attack(signed)
    with pytest.raises(BadModel, match=why):
        ServedModel.open(str(signed), keys=OURS)
    done = headway("verify", signed, "--public-key", keys / "ours.pub")
    assert done.exit_code == 1, done.output


def test_the_command_refuses_before_anything_is_served(signed: Path, keys: Path) -> None:
    _by_another_key(signed)
    done = headway("serve", signed, "--public-key", keys / "ours.pub", "--port", 0, "--admin-port", 0)
    assert done.exit_code == 1
    assert "no valid signature by any of the 1 keys that are trusted" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("word", "why"),
    [("none.pub", "No such file"), ("ours.pem", "no Ed25519 public key"), ("ed25519:abc", "no Ed25519 public key")],
)
def test_what_is_no_public_key_is_told(word: str, why: str, signed: Path, keys: Path) -> None:
    for verb in ("verify", "serve"):
        done = headway(verb, signed, "--public-key", word if ":" in word else keys / word)
        assert done.exit_code == 2
        assert why in " ".join(done.output.split())
        assert "PRIVATE" not in done.output


def test_what_was_changed_since_its_run_is_not_signed(keys: Path) -> None:
    folder = Path(bundle(keys / "model"))
    _changed_onnx(folder)
    done = headway("sign", folder, "--key", keys / "ours.pem")
    assert (done.exit_code, "it was changed" in done.output) == (1, True)
    assert not (folder / "signature.json").exists()
    done = headway("sign", folder, "--key", keys / "ours.pub")
    assert done.exit_code == 1


def test_a_model_json_that_names_files_elsewhere_is_neither_signed_nor_verified(signed: Path, keys: Path) -> None:
    told = json.loads((signed / "model.json").read_text())
    told["files"]["onnx"]["name"] = "../ours.pem"
    (signed / "model.json").write_text(json.dumps(told))
    done = headway("sign", signed, "--key", keys / "ours.pem")
    assert (done.exit_code, "no file of its folder" in done.output) == (1, True)


def test_a_fetched_model_brings_its_signature_where_one_is_asked_for(signed: Path, keys: Path) -> None:
    for signature, there in ((True, True), (False, False)):
        target = keys / f"fetched-{signature}"
        fetch(LocalStore(signed), "s3://a/b", target, signature=signature)
        assert (target / "signature.json").exists() is there
    assert ServedModel.open(str(keys / "fetched-True"), keys=OURS).name == "churn"
    _without(signed)
    with pytest.raises(BadModel, match=r"signature\.json is not at s3://a/b"):
        fetch(LocalStore(signed), "s3://a/b", keys / "no", signature=True)
    _huge_again = signed / "signature.json"
    _huge_again.write_bytes(b" " * 70_000)
    with pytest.raises(BadModel, match="longer than 65536"):
        fetch(LocalStore(signed), "s3://a/b", keys / "no", signature=True)


def test_without_its_package_each_command_says_what_to_install(
    signed: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for words in (
        ("sign", signed, "--key", keys / "ours.pem"),
        ("verify", signed, "--public-key", keys / "ours.pub"),
        ("serve", signed, "--public-key", keys / "ours.pub"),
    ):
        done = headway(*words)
        assert done.exit_code == 1
        assert "signatures need the Python package cryptography: pip install 'headway[server]'" in done.output


def test_weights_that_a_server_has_not_fetched_are_told_and_no_fault(signed: Path, keys: Path) -> None:
    (signed / "model.onnx").rename(keys / "away")
    done = headway("verify", signed, "--public-key", keys / "ours.pub")
    assert (done.exit_code, "not there: model.onnx" in done.output) == (0, True)
