"""The three ways to name a model: by name, by fingerprint, by what it has to be able to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgesdk.errors import ModelNotFound, UsageError
from edgesdk.models.card import ModelCard

__all__ = ["Requirements", "find", "parse_requirements"]

TASKS = ("detect", "classify", "embed", "raw")
_FINGERPRINT = re.compile(r"^sha256:([0-9a-fA-F]*)$")
_FORM = '"detect, has class person, backend openvino, precision fp32, licence MIT"'


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a model has to be; empty means any."""

    task: str = ""
    classes: tuple[str, ...] = ()
    backend: str = ""
    precision: str = ""
    licence: str = ""

    def met_by(self, card: ModelCard) -> bool:
        names = {name.casefold() for name in card.labels.values()}
        return (
            self.task in ("", card.task)
            and all(c.casefold() in names for c in self.classes)
            and self.licence.casefold() in ("", card.document.licence.casefold())
            and any(
                self.backend in ("", *v.backends) and self.precision in ("", v.precision)
                for v in card.variants
            )
        )


def parse_requirements(text: str) -> Requirements | None:
    """*text* as requirements, None if it is a plain name.

    :raises UsageError: it is meant as requirements and one of them is none.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1 and parts[0] not in TASKS and not parts[0].startswith("has class "):
        return None
    found: dict[str, str] = {}
    classes = []
    for part in parts:
        word, _, rest = part.partition(" ")
        if part in TASKS:
            found["task"] = part
        elif part.startswith("has class ") and part[10:].strip():
            classes.append(part[10:].strip())
        elif word in ("backend", "precision", "licence") and rest.strip():
            found[word] = rest.strip()
        else:
            near = difflib.get_close_matches(part, [*TASKS, "has class"], n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise UsageError(
                f"the model {text!r} has the requirement {part!r}{hint}; they are written {_FORM}"
            )
    return Requirements(classes=tuple(classes), **found)


def find(reference: str, cards: Mapping[str, ModelCard]) -> ModelCard:
    """The card that *reference* means, of *cards* by name, in the order of preference.

    :raises ModelNotFound: none does, or a fingerprint means several; says what there is.
    """
    if reference in cards:
        return cards[reference]
    fingerprint = _FINGERPRINT.match(reference)
    if fingerprint:
        return _by_fingerprint(reference, fingerprint.group(1).lower(), list(cards.values()))
    requirements = parse_requirements(reference)
    if requirements is None:
        near = difflib.get_close_matches(reference, cards, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ModelNotFound(f"there is no model {reference!r}{hint}; {_known(cards)}")
    for card in cards.values():
        if requirements.met_by(card):
            return card
    raise ModelNotFound(f"no model is {reference!r}; {_known(cards)}")


def _by_fingerprint(reference: str, prefix: str, cards: Sequence[ModelCard]) -> ModelCard:
    if not 8 <= len(prefix) <= 64:
        raise UsageError(f"{reference!r}: a fingerprint is 8 to 64 hex digits")
    found = {
        card.name: card
        for card in cards
        for v in card.variants
        if (v.sha256 or card.is_present(v)) and card.sha256_of(v).startswith(prefix)
    }
    if len(found) == 1:
        return next(iter(found.values()))
    known = {card.name: card for card in cards}
    if found:
        raise ModelNotFound(f"{reference!r} means {' and '.join(found)}: give more digits")
    raise ModelNotFound(f"no model has the fingerprint {reference!r}; {_known(known)}")


def _known(cards: Mapping[str, ModelCard]) -> str:
    told = []
    for name, card in cards.items():
        classes = sorted(set(card.labels.values()))
        shown = ", ".join(classes[:6]) + (f" and {len(classes) - 6} more" if classes[6:] else "")
        told.append(f"{name} ({card.task}{': ' if shown else ''}{shown})")
    return f"there are: {'; '.join(told)}" if told else "there are none: edgesdk models add CARD"
