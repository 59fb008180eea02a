"""What nodes say to each other about models: a card and the list of its files, and their bytes.

Two verbs of the administration channel, both msgpack arrays that ignore trailing fields:
``model.find`` answers with a :class:`Manifest`, ``model.chunk`` with a :class:`Chunk`. Nothing else
travels: cards are TOML or JSON, files are those that a card names, of kinds that hold no code.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeVar

import msgspec

from edgesdk.errors import WireError
from edgesdk.models.paths import path_problem

__all__ = [
    "CHUNK",
    "CHUNK_BYTES",
    "FIND",
    "Chunk",
    "ChunkRequest",
    "FindRequest",
    "HeldFile",
    "Manifest",
    "pack",
    "suffix_problem",
    "unpack",
]

FIND = "model.find"
CHUNK = "model.chunk"
CHUNK_BYTES = 512 << 10
MAX_CARD_BYTES = 256 << 10
MAX_MODEL_BYTES = 2 << 30
MAX_FILES = 64

# .pt, .pkl and the like run code when they are opened; .npy may.
_MODELS = {".tflite", ".onnx", ".xml", ".bin", ".pb"}
_TEXTS = {".txt", ".names", ".labels", ".csv", ".json", ""}

_Message = TypeVar("_Message")
_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Version = Annotated[int, msgspec.Meta(ge=1, le=255)]


class FindRequest(msgspec.Struct, frozen=True, array_like=True):
    """Asks for a model by the SHA-256 of its card, 16 to 64 hex digits, or of one of its files."""

    version: _Version
    reference: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16,64}$")]


class HeldFile(msgspec.Struct, frozen=True, array_like=True):
    """A file that a card names: its path beside the card, its size, its own SHA-256."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    size: Annotated[int, msgspec.Meta(ge=0, le=MAX_MODEL_BYTES)]
    sha256: _Sha256


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """A model that a node holds; *digest* is empty where it holds none, and so is the rest."""

    version: _Version
    digest: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")] = ""
    form: Literal["toml", "json"] = "toml"
    card: Annotated[bytes, msgspec.Meta(max_length=MAX_CARD_BYTES)] = b""
    files: Annotated[tuple[HeldFile, ...], msgspec.Meta(max_length=MAX_FILES)] = ()


class ChunkRequest(msgspec.Struct, frozen=True, array_like=True):
    """Asks for bytes of a file by its SHA-256."""

    version: _Version
    sha256: _Sha256
    offset: Annotated[int, msgspec.Meta(ge=0, le=MAX_MODEL_BYTES)]
    length: Annotated[int, msgspec.Meta(ge=1, le=CHUNK_BYTES)]


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of a file; or none, and *wait_ms*: the holder has better to do just now.

    *gone*: it does not hold the file, or not any more.
    """

    version: _Version
    data: Annotated[bytes, msgspec.Meta(max_length=CHUNK_BYTES)] = b""
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 0
    gone: bool = False


_encoder = msgspec.msgpack.Encoder()


def pack(message: msgspec.Struct) -> bytes:
    return _encoder.encode(message)


def unpack(data: bytes, kind: type[_Message]) -> _Message:
    """*data* as a *kind*.

    :raises WireError: it is none.
    """
    limit = MAX_CARD_BYTES + (64 << 10) if kind is Manifest else CHUNK_BYTES + 1024
    if len(data) > limit:
        raise WireError(f"{len(data)} bytes about a model; at most {limit} are read")
    try:
        message = msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"what is said about a model cannot be read: {error}") from None
    if getattr(message, "version", 1) != 1:
        raise WireError("a message about a model of a version that this node does not read")
    return message


def suffix_problem(file: HeldFile, *, is_model: bool) -> str:
    """Why *file* is not taken from a peer, or nothing."""
    problem = path_problem(file.path)
    if problem:
        return problem
    suffix = PurePosixPath(file.path).suffix.lower()
    if suffix in (_MODELS if is_model else _TEXTS):
        return ""
    return f"{file.path!r}: files of this kind are not taken from a peer"
