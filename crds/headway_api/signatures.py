"""Who vouches for a finished model: `signature.json` beside `model.json`, a DSSE envelope around an in-toto Statement.

DSSE (https://github.com/secure-systems-lab/dsse) signs the bytes of a payload with its type before it, so nothing is
canonicalised, and what was signed as one thing is never read as another. The Statement
(https://in-toto.io/Statement/v1) names `model.json` and each file that this tells of, with their SHA-256. Signatures
are Ed25519 and nothing else: no file says by which algorithm it is to be judged, and an envelope's `keyid` is a hint to
people that decides nothing.

`cryptography` is imported where a key is used alone: whoever neither signs nor verifies needs it not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import ValidationError

from headway_api.base import Cut, StatusSection, formed
from headway_api.bundle import MODEL_INFO_FILE, FileDigest

SIGNATURE_FILE = "signature.json"
KEY_FILE = "private-key.pem"
"""The key of a Secret that a job signs with: Ed25519 in PKCS#8, as `openssl genpkey -algorithm ed25519` writes it."""
MOST_BYTES = 64 * 1024
"""Of a signature file."""
MOST_SIGNATURES = 16
MOST_KEYS = 8
MOST_KEY_BYTES = 4096
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://headway.dev/model/v1"
"""What a Statement of ours is about: what the same key signs for others is none."""
_PREFIX = "MCowBQYDK2VwAyEA"
"""How the base64 of each Ed25519 key begins in X.509's SubjectPublicKeyInfo: twelve bytes that name the algorithm."""
_PEM = re.compile(
    r"-----BEGIN PUBLIC KEY-----\s*" + re.escape(_PREFIX) + r"([A-Za-z0-9+/]{43}=)\s*-----END PUBLIC KEY-----"
)
_RAW = re.compile(r"ed25519:([A-Za-z0-9+/]{43}=)")

PublicKey = Annotated[
    str,
    formed(
        r"^-----BEGIN PUBLIC KEY-----\n?MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=\n?-----END PUBLIC KEY-----\n?$",
        "must be an Ed25519 key as `openssl pkey -in KEY -pubout` prints it, which begins with"
        " -----BEGIN PUBLIC KEY----- and MCowBQYDK2VwAyEA",
        max_length=128,
    ),
]


class BadSignature(Exception):  # noqa: N818 - what it is
    """A model is not vouched for by any of the keys. The message says why."""


class BadKey(Exception):  # noqa: N818 - what it is
    """What should be a key is none that is used here. The message says what is needed, and nothing of the key."""


class _Signature(StatusSection):
    sig: Annotated[str, Cut(1024)]
    keyid: Annotated[str, Cut(256)] = ""


class _Envelope(StatusSection):
    payload: str
    payload_type: str
    signatures: list[_Signature]


def public_key(text: str) -> bytes:
    """The 32 bytes of a public key: from PEM, or `ed25519:` and their base64. Raises BadKey."""
    found = _PEM.fullmatch(text.strip()) or _RAW.fullmatch(text.strip())
    if found is None:
        raise BadKey(
            "this is no Ed25519 public key: it has to be as `openssl pkey -in KEY -pubout` prints it, or ed25519: and"
            " the base64 of its 32 bytes"
        )
    return base64.b64decode(found[1])


def in_a_word(key: bytes) -> str:
    """A public key as a command line takes it."""
    return f"ed25519:{base64.b64encode(key).decode()}"


def encoded(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what a signature is over."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def statement(model_info: bytes, files: Iterable[FileDigest]) -> bytes:
    """What is signed. model_info: the bytes of model.json; files: those that it tells of. The same for the same."""
    subjects = _digests(model_info, files)
    told = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(subjects.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {},
    }
    return json.dumps(told, separators=(",", ":"), sort_keys=True).encode()


def sign(payload: bytes, private_key: bytes) -> bytes:
    """The signature file of a statement. private_key: PEM. Raises BadKey."""
    key = load_private_key(private_key)
    own = bytes(key.public_key().public_bytes_raw())
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [
            {
                "keyid": hashlib.sha256(own).hexdigest(),
                "sig": base64.b64encode(bytes(key.sign(encoded(PAYLOAD_TYPE, payload)))).decode(),
            }
        ],
    }
    return (json.dumps(envelope, indent=2) + "\n").encode()


def load_private_key(pem: bytes) -> Any:
    """An Ed25519PrivateKey. Raises BadKey."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None) if len(pem) <= MOST_KEY_BYTES else None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey(
            "this is no Ed25519 private key without a password: make one with `openssl genpkey -algorithm ed25519`"
        )
    return key


def signed_files(envelope: bytes, keys: Sequence[bytes]) -> Mapping[str, str]:
    """The SHA-256 of each file that one of these keys vouches for, by name. Raises BadSignature.

    Nothing of what was signed is looked at before a signature holds.
    """
    told = _read(envelope)
    payload = _decoded(told.payload)
    over = encoded(PAYLOAD_TYPE, payload)
    if not any(_holds(key, _decoded(one.sig), over) for one in told.signatures for key in keys):
        raise BadSignature(
            f"{SIGNATURE_FILE} has no valid signature by any of the {len(keys)} keys that are trusted: it is another"
            " model's, another key's, or was changed"
        )
    return _subjects(payload)


def check(model_info: bytes, files: Iterable[FileDigest], signed: Mapping[str, str]) -> None:
    """Whether what was signed is this model: model.json and the files that it tells of, all of them and no other.

    That the files are what model.json tells of is for whoever reads them. Raises BadSignature.
    """
    here = _digests(model_info, files)
    if dict(signed) != here:
        name = next(name for name in sorted({*here, *signed}) if here.get(name) != signed.get(name))
        raise BadSignature(f"{SIGNATURE_FILE} is valid for another model than this one: they differ in {name[:80]!r}")


def _digests(model_info: bytes, files: Iterable[FileDigest]) -> dict[str, str]:
    return {MODEL_INFO_FILE: hashlib.sha256(model_info).hexdigest()} | {file.name: file.sha256 for file in files}


def _read(envelope: bytes) -> _Envelope:
    if len(envelope) > MOST_BYTES:
        raise BadSignature(f"{SIGNATURE_FILE} has more than {MOST_BYTES} bytes, and no signature is as long")
    try:
        told = _Envelope.model_validate_json(envelope)
    except ValidationError as error:
        raise BadSignature(f"{SIGNATURE_FILE} is no DSSE envelope") from error
    if told.payload_type != PAYLOAD_TYPE:
        raise BadSignature(f"{SIGNATURE_FILE} is about something else than {PAYLOAD_TYPE}")
    if len(told.signatures) > MOST_SIGNATURES:
        raise BadSignature(f"{SIGNATURE_FILE} has more than {MOST_SIGNATURES} signatures")
    return told


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSignature(f"{SIGNATURE_FILE} has what is no base64") from error


def _holds(key: bytes, signature: bytes, over: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, over)
    except (InvalidSignature, ValueError):
        return False
    return True


def _subjects(payload: bytes) -> Mapping[str, str]:
    """By name. Raises BadSignature for what a trusted key has signed for another purpose."""
    try:
        told = json.loads(payload)
        kinds = told["_type"], told["predicateType"]
        subjects = {str(one["name"]): str(one["digest"]["sha256"]) for one in told["subject"]}
        count = len(told["subject"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadSignature(f"{SIGNATURE_FILE} is valid, and says nothing of a model") from error
    if kinds != (STATEMENT_TYPE, PREDICATE_TYPE) or len(subjects) != count:
        raise BadSignature(f"{SIGNATURE_FILE} is valid, and says nothing of a model")
    return subjects
