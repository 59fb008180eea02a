"""Where a model from peers lies until it is whole, and how it then becomes one of the registry's.

::

    <cache>/models/peers/.DIGEST/card.toml       the card as a peer gave it
    <cache>/models/peers/.DIGEST/SHA256.partial  a file on its way, kept over failures
    <cache>/models/peers/.DIGEST/...             files that were checked, by their path on the card
    <cache>/models/peers/DIGEST/                 the whole, by rename
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgesdk.cluster.model_messages import MAX_MODEL_BYTES, HeldFile, Manifest, suffix_problem
from edgesdk.errors import DigestMismatch, EdgeError, ModelError
from edgesdk.models.archives import publish, storage_error
from edgesdk.models.card import ModelCard, load_card
from edgesdk.models.cardfile import read_card_file
from edgesdk.models.fingerprint import sha256_of
from edgesdk.models.registry import ModelRegistry
from edgesdk.models.schema import SsdAnchors

__all__ = ["Stage", "known_card", "staged"]

_ROOM_TO_SPARE = 64 << 20
_BLOCK = 1 << 20


def known_card(registry: ModelRegistry, reference: str) -> ModelCard | None:
    """The registry's card whose digest begins with *reference*, or with a variant of that SHA-256.

    Its files may be missing.
    """
    for entry in registry.list():
        if entry.card is None:
            continue
        with suppress(EdgeError):  # a digest needs files that are not here
            if answers(entry.card, reference):
                return entry.card
    return None


def answers(card: ModelCard, reference: str) -> bool:
    """Whether *reference* means *card*: its digest, shortened or whole, or a variant's SHA-256."""
    if card.digest.startswith(reference):
        return True
    return len(reference) == 64 and reference in map(card.sha256_of, card.variants)


class Stage:
    """The folder of one model that is being fetched; only one process at a time has it."""

    def __init__(self, registry: ModelRegistry, folder: Path, manifest: Manifest) -> None:
        self._registry = registry
        self._folder = folder
        self._manifest = manifest
        self._card_path = folder / f"card.{manifest.form}"
        try:
            self._card_path.write_bytes(manifest.card)
        except OSError as error:
            raise storage_error(error, folder) from None
        document, _ = read_card_file(self._card_path)
        self.name = document.name
        models: set[str] = set()
        self._pinned: dict[str, str] = {}
        for variant in document.variants:
            models.add(variant.file)
            if Path(variant.file).suffix.lower() == ".xml":
                models.add(str(Path(variant.file).with_suffix(".bin")))
            elif variant.sha256 is not None:
                self._pinned[variant.file] = variant.sha256.lower()
        texts = {document.labels_file}
        if isinstance(document.decode, SsdAnchors):
            texts.add(document.decode.anchors_file)
        self._check(models, texts)
        self.all_pinned = all(v.sha256 is not None for v in document.variants)
        self.texts = [file for file in manifest.files if file.path in texts]
        self.models = [file for file in manifest.files if file.path in models]

    def partial(self, file: HeldFile) -> Path:
        """Where *file* grows; what is there already counts."""
        return self._folder / f"{file.sha256}.partial"

    def has(self, file: HeldFile) -> bool:
        path = self._folder / file.path
        return path.is_file() and sha256_of(path) == file.sha256

    def keep(self, file: HeldFile) -> None:
        """Puts *file*, which is all there, to its place.

        :raises DigestMismatch: it is not what it should be; it is deleted.
        """
        partial, target = self.partial(file), self._folder / file.path
        if sha256_of(partial) != file.sha256:
            partial.unlink(missing_ok=True)
            raise DigestMismatch(f"{self.name}: {file.path} came with other bytes than its SHA-256")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
        except OSError as error:
            raise storage_error(error, target) from None

    def seed(self, known: ModelCard) -> None:
        """Takes over what is beside a card that is here already."""
        for file in self._manifest.files:
            here, target = known.directory / file.path, self._folder / file.path
            if target.exists() or not here.is_file() or here.stat().st_size != file.size:
                continue
            if sha256_of(here) == file.sha256:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(here, target)

    def require_room(self, size: int) -> None:
        """:raises ModelError: *size* bytes more do not fit."""
        free = shutil.disk_usage(self._folder).free
        if free < size + _ROOM_TO_SPARE:
            raise ModelError(
                f"no room for {self.name} in {self._folder.parent}: {size >> 20} MiB are needed, "
                f"{free >> 20} MiB are free"
            )

    def card(self, reference: str) -> ModelCard:
        """The card, if it is the one that was asked for.

        :raises DigestMismatch: it is not.
        """
        card = load_card(self._card_path)
        if card.digest != self._manifest.digest or not answers(card, reference):
            raise DigestMismatch(
                f"the card of {card.name} that peers gave has the digest {card.digest}, "
                f"but {reference} was asked for"
            )
        return card

    def publish(self, reference: str) -> ModelCard:
        """Makes the model one of the registry's.

        :raises DigestMismatch, ModelError: it is not what was asked for, or cannot be used.
        """
        card = self.card(reference)
        for variant in card.variants:
            if card.is_present(variant):
                card.check_file(variant)
        known = known_card(self._registry, card.digest)
        if known is not None:
            self._fill(known)
            return known
        target = self._folder.parent / card.digest
        try:
            shutil.rmtree(target, ignore_errors=True)
            self._folder.replace(target)
        except OSError as error:
            raise storage_error(error, target) from None
        try:
            return self._registry.add(target / self._card_path.name)
        except EdgeError:
            shutil.rmtree(target, ignore_errors=True)
            raise

    def discard(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _fill(self, known: ModelCard) -> None:
        """Puts the files beside a card that is here without them."""
        for file in self._manifest.files:
            target = known.directory / file.path
            if not (target.is_file() and sha256_of(target) == file.sha256):
                publish(_blocks(self._folder / file.path), file.sha256, target)
        self.discard()

    def _check(self, models: set[str], texts: set[str | None]) -> None:
        """:raises ModelError: the manifest has what the card does not name, or is too large."""
        for file in self._manifest.files:
            is_model = file.path in models
            if not is_model and file.path not in texts:
                raise ModelError(f"{self.name}: {file.path!r} is not a file of its card")
            problem = suffix_problem(file, is_model=is_model)
            if problem:
                raise ModelError(f"{self.name}: {problem}")
            if self._pinned.get(file.path, file.sha256) != file.sha256:
                raise DigestMismatch(f"{self.name}: {file.path} is not the one that its card means")
        if sum(file.size for file in self._manifest.files) > MAX_MODEL_BYTES:
            raise ModelError(f"{self.name} is larger than {MAX_MODEL_BYTES >> 30} GiB")
        for entry in self._registry.list():
            if entry.name != self.name:
                continue
            with suppress(EdgeError):
                if entry.card is not None and entry.card.digest == self._manifest.digest:
                    continue
            raise ModelError(
                f"another model here is called {self.name!r}; remove it (edgesdk models remove "
                f"{self.name}) or rename one of the two"
            )


@contextmanager
def staged(registry: ModelRegistry, manifest: Manifest) -> Iterator[Stage]:
    """The stage of *manifest*'s model, this process's alone meanwhile."""
    peers = registry.cache / "models" / "peers"
    folder = peers / f".{manifest.digest}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (peers / f".{manifest.digest}.lock").open("w")
    except OSError as error:
        raise storage_error(error, folder) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)  # whoever had the lock may have published it
        yield Stage(registry, folder, manifest)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block
