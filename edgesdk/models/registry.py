"""The models that this machine knows: the catalogue's, and those that a user added."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from edgesdk.errors import CardError, EdgeError, ModelError, ModelNotFound
from edgesdk.models import catalogue
from edgesdk.models.agreement import compare
from edgesdk.models.archives import storage_error
from edgesdk.models.card import ModelCard, load_card
from edgesdk.models.packages import Progress, Wanted, fetch
from edgesdk.models.reading import read_card
from edgesdk.models.references import find

__all__ = ["Entry", "ModelRegistry", "default_cache"]

MAX_REGISTRY_BYTES = 16 << 20


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/edgesdk``."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "edgesdk"


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that is known; *problem* says why its card cannot be used: then *card* is None."""

    name: str
    origin: Literal["catalogue", "added"]
    path: Path
    card: ModelCard | None
    problem: str = ""

    @property
    def present(self) -> bool:
        """Whether a variant's file is on this machine."""
        return self.card is not None and any(map(self.card.is_present, self.card.variants))


class _Index(msgspec.Struct, forbid_unknown_fields=True):
    """The file of added cards: paths by name."""

    schema: Literal[1]
    cards: dict[str, str]


class ModelRegistry:
    """Cards by name; files below ``<cache>/models``. Safe to use from threads and processes.

    An added card hides one of the catalogue that has its name.
    """

    def __init__(self, cache_dir: Path | str | None = None) -> None:
        self.cache = Path(cache_dir) if cache_dir is not None else default_cache()
        self._models = self.cache / "models"
        self._index = self._models / "added.json"

    def list(self) -> Sequence[Entry]:
        """Everything known: added first, then the catalogue in its order of preference."""
        added = [self._added_entry(n, Path(p)) for n, p in sorted(self._read_index().items())]
        names = {entry.name for entry in added}
        built_in = []
        for path in catalogue.card_paths():
            card = read_card(path, directory=self._models / path.stem)
            if card.name not in names:
                built_in.append(Entry(card.name, "catalogue", path, card))
        return [*added, *built_in]

    def resolve(self, reference: str) -> ModelCard:
        """The card that a name, ``sha256:`` prefix, requirements, or a card's path means.

        :raises ModelNotFound: there is none; says what there is.
        :raises CardError: there is, and its card is wrong.
        """
        if reference.endswith((".toml", ".json")):
            return load_card(Path(reference))
        path = self._read_index().get(reference)
        named = None if path is None else self._added_entry(reference, Path(path))
        if named is not None:
            if named.card is None:
                raise CardError(f"the model {reference!r} cannot be used: {named.problem}")
            return named.card
        entries = self.list()
        # of models that meet requirements, one that is here serves better than one to be pulled
        ordered = sorted(entries, key=lambda e: (e.origin != "added", not e.present))
        return find(reference, {e.name: e.card for e in ordered if e.card is not None})

    def add(self, path: Path | str) -> ModelCard:
        """Registers a card by its path, after checking it and the files it has.

        :raises CardError: the card is wrong, or does not fit its files.
        :raises ModelInvalid, DigestMismatch, ModelNotFound: a file is damaged, other, not there.
        """
        card = load_card(Path(path))
        for variant in card.variants:
            if variant.source is None or card.is_present(variant):
                card.check_file(variant)
                compare(card, variant, card.facts_of(variant)).require(card, variant)
        with self._locked():
            index = self._read_index()
            index[card.name] = str(card.path.resolve())
            self._write_index(index)
        return card

    def remove(self, name: str) -> None:
        """Forgets an added card; its files stay.

        :raises ModelNotFound: no card of that name was added.
        """
        with self._locked():
            index = self._read_index()
            if name not in index:
                raise ModelNotFound(f"no model {name!r} was added, so it cannot be removed")
            del index[name]
            self._write_index(index)

    def pull(self, cards: Sequence[ModelCard], progress: Progress | None = None) -> None:
        """Fetches what the variants of *cards* lack; see :func:`edgesdk.models.packages.fetch`.

        :raises ModelNotFound: a file is missing and its card does not say where it can be had.
        """
        wanted = []
        for card in cards:
            for variant in card.variants:
                if variant.source is not None and variant.sha256 is not None:
                    wanted.append(Wanted(card.file_of(variant), variant.sha256, variant.source))
                else:
                    card.check_file(variant)
        fetch(wanted, self.cache / "packages", progress)

    def asset(self, name: str, progress: Progress | None = None) -> Path:
        """The path of a video of the catalogue, fetched if need be.

        :raises ModelNotFound: the catalogue has no such asset; says which it has.
        """
        known = catalogue.assets()
        if name not in known:
            raise ModelNotFound(f"there is no asset {name!r}; there are {', '.join(known)}")
        target = self.cache / "assets" / name
        wanted = Wanted(target, known[name].sha256, known[name].source)
        fetch([wanted], self.cache / "packages", progress)
        return target

    def _added_entry(self, name: str, path: Path) -> Entry:
        try:
            card = read_card(path)
        except EdgeError as e:
            return Entry(name, "added", path, None, str(e))
        if card.name != name:
            problem = f"{path} now names the model {card.name!r}; add it again"
            return Entry(name, "added", path, None, problem)
        return Entry(name, "added", path, card)

    def _read_index(self) -> dict[str, str]:
        try:
            with self._index.open("rb") as f:
                raw = f.read(MAX_REGISTRY_BYTES)
        except FileNotFoundError:
            return {}
        except OSError as e:
            raise ModelError(f"{self._index} cannot be read: {e.strerror}") from None
        try:
            return msgspec.json.decode(raw, type=_Index).cards
        except msgspec.DecodeError as e:
            raise ModelError(
                f"{self._index} is damaged ({e}); delete it, and add your cards again"
            ) from None

    def _write_index(self, index: dict[str, str]) -> None:
        partial = self._index.with_suffix(".partial")
        try:
            with partial.open("wb") as f:
                f.write(msgspec.json.encode(_Index(1, index)))
                f.flush()
                os.fsync(f.fileno())
            partial.replace(self._index)
        except OSError as e:
            raise storage_error(e, self._index) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._models.mkdir(parents=True, exist_ok=True)
            lock = (self._models / "added.lock").open("w")
        except OSError as e:
            raise storage_error(e, self._models) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
