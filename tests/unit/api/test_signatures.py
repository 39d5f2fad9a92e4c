"""What a signature vouches for, and all that is none: the attacks that a verifier is for."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.bundle import FileDigest
from headway_api.signatures import (
    MOST_BYTES,
    PAYLOAD_TYPE,
    BadKey,
    BadSignature,
    check,
    encoded,
    in_a_word,
    public_key,
    sign,
    signed_files,
    statement,
)
from signing_keys import private_pem, public_pem, raw, signed_over

INFO = b'{"version":2}'
FILES = [
    FileDigest(name="model.onnx", sha256="a" * 64, size_bytes=1),
    FileDigest(name="reference.json", sha256="b" * 64, size_bytes=2),
]
OURS = raw("ours")


def envelope(name: str = "ours", info: bytes = INFO, files: list[FileDigest] = FILES) -> bytes:
    return sign(statement(info, files), private_pem(name))


def bent(**changes: Any) -> bytes:
    """A good envelope with other values."""
    return json.dumps(json.loads(envelope()) | changes).encode()


def accepted(
    text: bytes,
    *keys: bytes,
    info: bytes = INFO,
    files: list[FileDigest] = FILES,
) -> None:
    check(info, files, signed_files(text, keys or (OURS,)))


def test_what_was_signed_is_accepted_by_its_key_and_by_one_of_several() -> None:
    accepted(envelope())
    accepted(envelope(), raw("next"), OURS)
    accepted(envelope("next"), OURS, raw("next"))
    assert envelope() == envelope(), "the same for the same, whenever it is made"


def test_all_files_of_the_model_are_named_and_nothing_else_is() -> None:
    told = json.loads(base64.b64decode(json.loads(envelope())["payload"]))
    assert [one["name"] for one in told["subject"]] == ["model.json", "model.onnx", "reference.json"]
    assert (told["_type"], told["predicateType"]) == ("https://in-toto.io/Statement/v1", "https://headway.dev/model/v1")


def test_the_encoding_is_that_of_dsse() -> None:
    assert encoded("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize(
    ("info", "files", "differs"),
    [
        (b'{"version":3}', FILES, "model.json"),
        (INFO, [FILES[0].model_copy(update={"sha256": "c" * 64}), FILES[1]], "model.onnx"),
        (INFO, FILES[:1], "reference.json"),
        (INFO, [*FILES, FileDigest(name="extra.so", sha256="d" * 64, size_bytes=1)], "extra.so"),
        (INFO, [FILES[0].model_copy(update={"name": "reference.json"}), FILES[1]], "model.onnx"),
    ],
    ids=["another model.json", "a changed file", "a file less", "a file more", "files swapped"],
)
def test_a_signature_of_another_model_is_none_of_this_one(info: bytes, files: list[FileDigest], differs: str) -> None:
    with pytest.raises(BadSignature, match=f"they differ in '{differs}'"):
        accepted(envelope(), info=info, files=files)


def test_two_files_that_have_changed_places_are_told() -> None:
    swapped = [
        FILES[0].model_copy(update={"sha256": FILES[1].sha256}),
        FILES[1].model_copy(update={"sha256": FILES[0].sha256}),
    ]
    with pytest.raises(BadSignature, match="differ"):
        accepted(envelope(), files=swapped)


def _sigs(*signatures: bytes) -> list[dict[str, str]]:
    return [{"keyid": "", "sig": base64.b64encode(one).decode()} for one in signatures]


STATEMENT = statement(INFO, FILES)
ATTACKS: list[tuple[str, bytes, str]] = [
    ("another key", envelope("theirs"), "no valid signature"),
    ("another key that says it is ours", bent(signatures=[
        {"keyid": json.loads(envelope())["signatures"][0]["keyid"],
         "sig": json.loads(envelope("theirs"))["signatures"][0]["sig"]}]), "no valid signature"),
    ("no signature", bent(signatures=[]), "no valid signature"),
    ("an empty one", bent(signatures=_sigs(b"")), "no valid signature"),
    ("zeros", bent(signatures=_sigs(bytes(64))), "no valid signature"),
    ("half of one", bent(signatures=_sigs(signed_over("ours", encoded(PAYLOAD_TYPE, STATEMENT))[:32])), "no valid"),
    ("the payload without its type", bent(signatures=_sigs(signed_over("ours", STATEMENT))), "no valid signature"),
    ("over another type", bent(signatures=_sigs(signed_over("ours", encoded("text/plain", STATEMENT)))), "no valid"),
    ("another type", bent(payloadType="text/plain"), "something else"),
    ("an algorithm of its own", bent(payload=base64.b64encode(b"{}").decode(), alg="none"), "no valid signature"),
    ("many signatures", bent(signatures=_sigs(*[bytes(64)] * 17)), "more than 16 signatures"),
    ("no base64", bent(payload="***"), "no base64"),
    ("no JSON", b"\xff\xfe", "no DSSE envelope"),
    ("a list", b"[]", "no DSSE envelope"),
    ("nothing", b"", "no DSSE envelope"),
    ("deep", b"[" * 30_000, "no DSSE envelope"),
    ("cut off", envelope()[:-30], "no DSSE envelope"),
    ("huge", envelope() + b" " * MOST_BYTES, "more than 65536 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS])
def test_what_is_not_signed_by_a_trusted_key_is_refused_with_the_reason(text: bytes, why: str) -> None:
    with pytest.raises(BadSignature, match=why):
        accepted(text)


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b"[]",
        b"no JSON",
        b"[" * 20_000,
        STATEMENT.replace(b"https://headway.dev/model/v1", b"https://slsa.dev/provenance/v1"),
        STATEMENT.replace(b"https://in-toto.io/Statement/v1", b"https://in-toto.io/Statement/v0.1"),
        STATEMENT.replace(b'"name":"model.onnx"', b'"name":"model.json"'),
        STATEMENT.replace(b"sha256", b"md5"),
        STATEMENT.replace(b'"subject":[', b'"subject":["model.json",'),
    ],
)
def test_what_our_key_has_signed_for_another_purpose_vouches_for_no_model(payload: bytes) -> None:
    with pytest.raises(BadSignature, match="says nothing of a model"):
        accepted(sign(payload, private_pem("ours")))


@given(st.data())
def test_no_envelope_with_a_changed_byte_vouches_for_anything_else(data: st.DataObject) -> None:
    good = envelope()
    where = data.draw(st.integers(0, len(good) - 1))
    changed = good[:where] + bytes([data.draw(st.integers(0, 255))]) + good[where + 1 :]
    try:
        signed = signed_files(changed, (OURS,))
    except BadSignature:
        return
    assert signed == signed_files(good, (OURS,)), "it is about the very same files"


@given(st.binary(max_size=300))
def test_no_nonsense_does_anything_but_be_refused(text: bytes) -> None:
    with pytest.raises(BadSignature):
        signed_files(text, (OURS,))


@pytest.mark.parametrize("text", [public_pem("ours"), f"\n{public_pem('ours')}\n\n", in_a_word(OURS)])
def test_a_public_key_is_read_as_openssl_prints_it_and_as_a_word(text: str) -> None:
    assert public_key(text) == OURS


def test_what_openssl_makes_is_what_is_read(tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    for words in (
        ("genpkey", "-algorithm", "ed25519", "-out", str(private)),
        ("pkey", "-in", str(private), "-pubout", "-out", str(public)),
    ):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    made = sign(STATEMENT, private.read_bytes())
    assert signed_files(made, [public_key(public.read_text())])["model.onnx"] == "a" * 64


def test_other_keys_are_refused_and_nothing_of_them_is_told(tmp_path: Path) -> None:
    rsa = tmp_path / "rsa.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "rsa", "-out", str(rsa)], check=True, capture_output=True)
    public = subprocess.run(
        ["openssl", "pkey", "-in", str(rsa), "-pubout"], check=True, capture_output=True, text=True
    ).stdout
    locked = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:word"],
        check=True,
        capture_output=True,
    ).stdout
    for text in (public, "ed25519:AAAA", "", private_pem("ours").decode(), in_a_word(OURS)[:-2]):
        with pytest.raises(BadKey, match="no Ed25519 public key"):
            public_key(text)
    for pem in (rsa.read_bytes(), locked, b"", b"x" * 9000, public_pem("ours").encode()):
        with pytest.raises(BadKey, match="no Ed25519 private key") as found:
            sign(STATEMENT, pem)
        assert "BEGIN" not in str(found.value)
