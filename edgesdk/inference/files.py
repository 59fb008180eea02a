"""The file of a model, before a runtime opens it."""

from __future__ import annotations

from edgesdk.errors import DigestMismatch, ModelInvalid
from edgesdk.inference.protocol import ModelFile, digest


def check_file(model: ModelFile) -> None:
    """Raises ModelInvalid where the file cannot be read, DigestMismatch where it is another."""
    try:
        if not model.path.is_file():
            raise ModelInvalid(f"there is no model file at {model.path}")
        if model.path.stat().st_size == 0:
            raise ModelInvalid(f"{model.path} is empty")
        found = digest(model.path) if model.sha256 else ""
    except OSError as error:
        raise ModelInvalid(f"{model.path} cannot be read: {error.strerror}") from error
    if found != model.sha256.lower():
        raise DigestMismatch(
            f"{model.path} has SHA-256 {found[:16]}…, but {model.sha256[:16].lower()}… is "
            "expected; pull it again, or correct the card"
        )
