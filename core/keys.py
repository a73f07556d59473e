"""Keys of endpoints: made where they are needed, so that no more than their hash travels or is kept."""

from __future__ import annotations

import hashlib
import secrets

BYTES = 32  # of chance


def new_key() -> str:
    """A key that nobody guesses."""
    return f"fts-{secrets.token_urlsafe(BYTES)}"


def hash_of(key: str) -> str:
    """What is kept of a key: its SHA-256. It has too much chance in it to be found by trying, so no more is needed."""
    return hashlib.sha256(key.encode()).hexdigest()
