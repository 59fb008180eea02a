"""What a model's bytes are: SHA-256 over its file, or over an IR's .xml and then its .bin."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from edgesdk.errors import ModelInvalid, ModelNotFound

__all__ = ["fingerprint", "model_files", "sha256_of"]


def model_files(path: Path) -> tuple[Path, ...]:
    """The files that make up the model at *path*, in the order in which they are hashed."""
    if path.suffix.lower() != ".xml":
        return (path,)
    weights = path.with_suffix(".bin")
    return (path, weights) if weights.exists() else (path,)


def sha256_of(*paths: Path) -> str:
    """Hex digest of the bytes of *paths*, one after the other.

    :raises ModelNotFound: a file is not there.
    :raises ModelInvalid: it is not a regular file, or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in paths:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
                raise ModelInvalid(f"{path}: not a regular file")
            with path.open("rb") as f:
                while chunk := f.read(1 << 20):
                    digest.update(chunk)
    except FileNotFoundError as e:
        raise ModelNotFound(f"{e.filename}: no such file") from None
    except OSError as e:
        raise ModelInvalid(f"{e.filename}: cannot be read: {e.strerror}") from None
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """SHA-256 of the model at *path*; of an OpenVINO IR, of the .xml and then the .bin."""
    return sha256_of(*model_files(path))
