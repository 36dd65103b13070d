"""Keys for Ed25519 signatures."""

import os
from ctypes import byref

from . import _c
from ._library import Handle, StrPath, buffer, call, encoded, make, text


class PrivateKey:
    """A private key, which signs."""

    def __init__(self, handle: Handle) -> None:
        self._as_parameter_ = handle

    @classmethod
    def generate(cls) -> "PrivateKey":
        """A new key."""
        return cls(make("artifact_key_generate", "artifact_key_free"))

    @classmethod
    def from_pem(cls, pem: str) -> "PrivateKey":
        """A key from the text of a PEM file, as openssl writes it."""
        return cls(make("artifact_key_from_pem", "artifact_key_free", encoded(pem)))

    def to_pem(self) -> str:
        """The key as PEM. Keep it secret."""
        return text(buffer("artifact_key_to_pem", self))

    def save(self, path: StrPath) -> None:
        """Saves the key to a new file that only this user can read."""
        call("artifact_key_save", self, os.fsencode(path))

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return bytes(self._public().bytes)

    @property
    def public_pem(self) -> str:
        """The public key as PEM, for `Engine.trust`."""
        return text(buffer("artifact_public_key_to_pem", byref(self._public())))

    def _public(self) -> _c.artifact_public_key_t:
        key = _c.artifact_public_key_t()
        call("artifact_key_public", self, byref(key))
        return key
