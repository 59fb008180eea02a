"""What happens before a plan's first frame: models are found, fetched, compiled and warmed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from edgesdk.config import NodeConfig
from edgesdk.errors import Cancelled
from edgesdk.graph.plan import Plan
from edgesdk.models import ModelCard, ModelRegistry
from edgesdk.models.artefacts import ArtefactCache
from edgesdk.runtime.sessions import KnownModel, Sessions
from edgesdk.runtime.wiring import BATCHES, batches_wanted

__all__ = ["Progress", "fetch", "open_sessions", "prepare_models", "silent"]

Progress = Callable[[str, float | None], None]
"""Told what is being done, and the part of it that is done (None where nobody can tell)."""


def silent(what: str, part: float | None) -> None:
    """A Progress that tells nobody."""


def open_sessions(registry: ModelRegistry, config: NodeConfig) -> Sessions:
    """The sessions of a node, none yet."""
    return Sessions(
        threads=config.threads or 0,
        backends=config.backends,
        store=ArtefactCache(registry.cache / "artefacts"),
        speeds=registry.cache / "speeds.json",
    )


def prepare_models(
    plan: Plan,
    load: Callable[..., KnownModel],
    registry: ModelRegistry,
    progress: Progress,
    cancel: threading.Event,
    *,
    standing: bool = False,
) -> dict[str, KnownModel]:
    """Every model of *plan*, by card digest, from *load* (see :meth:`Residency.own`).

    A *standing* node's models are loaded for every batch: who will want them is not known yet.
    Raises ModelError, BackendError, Cancelled, NetworkUnavailable; what was loaded stays loaded.
    """
    cards: dict[str, ModelCard] = {}
    batches: dict[str, tuple[int, ...]] = {}
    for operator in plan.operators:
        digest = operator.card_digest
        if digest is not None and isinstance(operator.model, ModelCard):
            cards[digest] = operator.model
            batches[digest] = BATCHES if standing else batches_wanted(plan, operator.index)
    fetch(registry, cards, progress, cancel)
    loaded = {}
    for digest, card in cards.items():
        _check(cancel)
        progress(f"loading {card.name}", None)
        loaded[digest] = load(
            card,
            batches=batches[digest],
            progress=lambda part, word: progress(word, part),
            cancel=cancel,
        )
    return loaded


def fetch(
    registry: ModelRegistry,
    cards: Mapping[str, ModelCard],
    progress: Progress,
    cancel: threading.Event,
) -> None:
    """Pulls what is not there of *cards*. Raises ModelError, NetworkUnavailable, Cancelled."""

    def tell(what: str, done: int, total: int | None) -> None:
        _check(cancel)
        progress(f"fetching {what}", done / total if total else None)

    missing = [card for card in cards.values() if not _present(card)]
    if missing:
        registry.pull(missing, tell)


def _present(card: ModelCard) -> bool:
    return any(card.is_present(variant) for variant in card.variants)


def _check(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise Cancelled("stopped before the first frame")
