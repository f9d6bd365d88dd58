"""Signed tokens: JSON Web Tokens with ES256 or RS256, and the key set that others verify them by.

Invariant: `verify` returns claims only of a token that one of the given keys signed with its own algorithm; times
and audiences are the caller's business.
Source: RFC 7515, 7517, 7518 section 3, 7519.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

_COORDINATE = 32


class BadToken(Exception):
    """The text is not a token that one of the keys signed."""


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key and the identifier by which tokens name it."""

    identifier: str
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey

    @property
    def algorithm(self) -> str:
        """ES256 or RS256."""
        return "ES256" if isinstance(self.key, ec.EllipticCurvePublicKey) else "RS256"


class SigningKey:
    """A private key that signs tokens."""

    def __init__(self, pem: bytes) -> None:
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("the service account key must be an EC (P-256) or RSA key")
        self._key = key
        self.public = verify_key(key.public_key())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The token of some claims."""
        header = orjson.dumps({"alg": self.public.algorithm, "kid": self.public.identifier})
        content = f"{_encode(header)}.{_encode(orjson.dumps(claims))}".encode()
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self._key.sign(content, ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
        else:
            signature = self._key.sign(content, padding.PKCS1v15(), hashes.SHA256())
        return f"{content.decode()}.{_encode(signature)}"


def verify_key(key: Any) -> VerifyKey:
    """A public key with its identifier: the hash of its encoding."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return VerifyKey(_encode(hashlib.sha256(encoded).digest()), key)


def load_verify_key(pem: bytes) -> VerifyKey:
    """From a public key's PEM. Raises ValueError."""
    return verify_key(serialization.load_pem_public_key(pem))


def verify(token: str, keys: Sequence[VerifyKey]) -> dict[str, Any]:
    """The claims. Raises BadToken."""
    try:
        head, body, tail = token.split(".")
        header, claims, signature = orjson.loads(_decode(head)), orjson.loads(_decode(body)), _decode(tail)
    except (ValueError, binascii.Error) as error:
        raise BadToken("the token is malformed") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise BadToken("the token is malformed")
    named = [key for key in keys if key.identifier == header.get("kid")] or list(keys)
    content = f"{head}.{body}".encode()
    for key in named:
        if header.get("alg") == key.algorithm and _signed(key, content, signature):
            return claims
    raise BadToken("no known key signed the token")


def unverified_claims(token: str) -> dict[str, Any]:
    """What a token claims, for deciding who should verify it; {} if it is malformed."""
    try:
        claims = orjson.loads(_decode(token.split(".")[1]))
    except (ValueError, IndexError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def _signed(key: VerifyKey, content: bytes, signature: bytes) -> bool:
    try:
        if isinstance(key.key, ec.EllipticCurvePublicKey):
            if len(signature) != 2 * _COORDINATE:
                return False
            r, s = (int.from_bytes(part, "big") for part in (signature[:_COORDINATE], signature[_COORDINATE:]))
            key.key.verify(encode_dss_signature(r, s), content, ec.ECDSA(hashes.SHA256()))
        else:
            key.key.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def key_set(keys: Sequence[VerifyKey]) -> dict[str, Any]:
    """The JSON Web Key Set."""
    return {"keys": [_web_key(key) for key in keys]}


def _web_key(key: VerifyKey) -> dict[str, str]:
    described = {"use": "sig", "kid": key.identifier, "alg": key.algorithm}
    if isinstance(key.key, ec.EllipticCurvePublicKey):
        numbers = key.key.public_numbers()
        x, y = (_encode(value.to_bytes(_COORDINATE, "big")) for value in (numbers.x, numbers.y))
        return described | {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    modulus, exponent = key.key.public_numbers().n, key.key.public_numbers().e
    return described | {"kty": "RSA", "n": _encode(_minimal(modulus)), "e": _encode(_minimal(exponent))}


def _minimal(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
