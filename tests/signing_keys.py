"""Keys to sign models with, for tests: of a name always the same one, and nobody's."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def _key(name: str) -> Any:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def private_pem(name: str) -> bytes:
    """As `openssl genpkey -algorithm ed25519` writes it."""
    encryption = serialization.NoEncryption()
    return bytes(_key(name).private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))


def public_pem(name: str) -> str:
    """As `openssl pkey -pubout` writes it."""
    public = _key(name).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return bytes(pem).decode()


def raw(name: str) -> bytes:
    """The public key's 32 bytes."""
    return bytes(_key(name).public_key().public_bytes_raw())


def signed_over(name: str, data: bytes) -> bytes:
    """A signature over any bytes."""
    return bytes(_key(name).sign(data))
