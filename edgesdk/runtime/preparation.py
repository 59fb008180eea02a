"""What happens before the first frame: models are found, fetched, compiled and warmed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgesdk.config import NodeConfig
from edgesdk.errors import Cancelled
from edgesdk.graph.plan import Plan
from edgesdk.models import ModelCard, ModelRegistry
from edgesdk.models.artefacts import ArtefactCache
from edgesdk.runtime.sessions import LoadedModel, Sessions
from edgesdk.runtime.wiring import batches_wanted

__all__ = ["Progress", "prepare_models", "silent"]

Progress = Callable[[str, float | None], None]
"""Told what is being done, and the part of it that is done (None where nobody can tell)."""


def silent(what: str, part: float | None) -> None:
    """A Progress that tells nobody."""


def prepare_models(
    plan: Plan,
    registry: ModelRegistry,
    config: NodeConfig,
    progress: Progress,
    cancel: threading.Event,
) -> tuple[Sessions, dict[str, LoadedModel]]:
    """Every model of *plan*, loaded; by card digest. Raises ModelError, BackendError, Cancelled,
    NetworkUnavailable."""
    cards: dict[str, ModelCard] = {}
    batches: dict[str, tuple[int, ...]] = {}
    for operator in plan.operators:
        digest = operator.card_digest
        if digest is not None and isinstance(operator.model, ModelCard):
            cards[digest] = operator.model
            batches[digest] = batches_wanted(plan, operator.index)
    _fetch(registry, [c for c in cards.values() if not _present(c)], progress, cancel)
    store = ArtefactCache(registry.cache / "artefacts")
    sessions = Sessions(
        threads=config.threads or 0,
        backends=config.backends,
        store=store,
        speeds=registry.cache / "speeds.json",
    )
    try:
        loaded = {}
        for digest, card in cards.items():
            _check(cancel)
            progress(f"loading {card.name}", None)
            loaded[digest] = sessions.load(
                card,
                batches=batches[digest],
                progress=lambda part, word: progress(word, part),
                cancel=cancel,
            )
    except BaseException:
        sessions.close()
        raise
    return sessions, loaded


def _fetch(
    registry: ModelRegistry, cards: list[ModelCard], progress: Progress, cancel: threading.Event
) -> None:
    def tell(what: str, done: int, total: int | None) -> None:
        _check(cancel)
        progress(f"fetching {what}", done / total if total else None)

    if cards:
        registry.pull(cards, tell)


def _present(card: ModelCard) -> bool:
    return any(card.is_present(variant) for variant in card.variants)


def _check(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise Cancelled("stopped before the first frame")
