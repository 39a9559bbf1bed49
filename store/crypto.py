"""Encryption of text at rest: AES-256-GCM, a random nonce each, the column's label as associated data.

The key comes from the environment or from a file of mode 0600 apart from the database. Knows nothing of tables.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from config.errors import BadInput

KEY_BYTES = 32
NONCE_BYTES = 12
_FORMAT = b"\x01"


class Cipher:
    """Seals and opens bytes under one key; derives purpose-bound secrets from it."""

    __slots__ = ("_aead", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._aead = AESGCM(key)

    def __repr__(self) -> str:
        return "Cipher(…)"

    def seal(self, plain: bytes, label: bytes) -> bytes:
        """format byte ‖ nonce ‖ ciphertext and tag. `label` must be the same when opening."""
        nonce = os.urandom(NONCE_BYTES)
        return _FORMAT + nonce + self._aead.encrypt(nonce, plain, label)

    def open(self, sealed: bytes, label: bytes) -> bytes:
        """The plain bytes. Raises BadInput where key or data do not belong together."""
        try:
            if sealed[:1] != _FORMAT:
                raise InvalidTag
            return self._aead.decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], label)
        except InvalidTag:
            raise BadInput(
                "The stored text cannot be read with this key; put the key file back that belongs to this database."
            ) from None

    def derive(self, purpose: str) -> str:
        """A secret for one purpose, in hex; the key itself never leaves this object."""
        return hmac.new(self._key, purpose.encode(), hashlib.sha256).hexdigest()


def load_cipher(key_file: Path, given: SecretStr | None) -> Cipher:
    """From the given secret (base64), else from the file, made with mode 0600 when it is not there yet.

    Raises BadInput for a key that is not 32 bytes, or a file that others can read.
    """
    if given is not None:
        return Cipher(_decode(given.get_secret_value(), "PARLANCE_KEY"))
    try:
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if key_file.stat().st_mode & 0o077:
            raise BadInput(f"Other users can read the key file {key_file}; run: chmod 600 {key_file}") from None
        return Cipher(_decode(key_file.read_text(), str(key_file)))
    with os.fdopen(descriptor, "wb") as stream:
        key = os.urandom(KEY_BYTES)
        stream.write(base64.b64encode(key))
        stream.flush()
        os.fsync(stream.fileno())
    return Cipher(key)


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadInput(f"The key in {where} is not {KEY_BYTES} bytes in base64; put the right one back.")
    return key
