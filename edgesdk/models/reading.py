"""Cards as they were read before, while nothing that they rest on has changed.

Reading a card takes 2 ms, and finding one among a thousand reads them all: an application of sixty
models took minutes to start.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgesdk.models.card import ModelCard, load_card
from edgesdk.models.schema import SsdAnchors

__all__ = ["read_card"]

_MOST = 4096

_Stamp = tuple[tuple[int, int, int] | None, ...]
_known: dict[tuple[Path, Path | None], tuple[tuple[Path, ...], _Stamp, ModelCard]] = {}


def read_card(path: Path, *, directory: Path | None = None) -> ModelCard:
    """As :func:`~edgesdk.models.card.load_card`, and the very same card as long as the card's file
    and the files that it names are those of the last time. Thread-safe."""
    key = path, directory
    known = _known.get(key)
    if known is not None and _stamp(known[0]) == known[1]:
        return known[2]
    # Stamped before it is read: what changes meanwhile is read again the next time.
    before = _stamp((path,))
    card = load_card(path, directory=directory)
    files = _rests_on(card)
    while len(_known) >= _MOST:
        _known.pop(next(iter(_known)), None)
    _known[key] = files, before + _stamp(files[1:]), card
    return card


def _rests_on(card: ModelCard) -> tuple[Path, ...]:
    found = [card.path]
    for variant in card.variants:
        file = card.file_of(variant)
        found.append(file)
        if file.suffix == ".xml":
            found.append(file.with_suffix(".bin"))
    named = [card.document.labels_file]
    if isinstance(card.decode, SsdAnchors):
        named.append(card.decode.anchors_file)
    return (*found, *(card.directory / name for name in named if name))


def _stamp(files: tuple[Path, ...]) -> _Stamp:
    return tuple(map(_facts, files))


def _facts(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
