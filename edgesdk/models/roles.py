"""Which roles a kind of decoding has, and which output tensor plays which.

Outputs are bound by the names on the card. A role that the card leaves out is inferred from shape
and dtype, once, at load, and reported; never from the order, in which builds of one model differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesdk.errors import ModelInvalid
from edgesdk.models.schema import (
    Classify,
    Decode,
    DetectionOutput,
    Embed,
    Output,
    Outputs,
    Quantisation,
    Raw,
    SsdAnchors,
    SsdNms,
    TflitePostprocess,
)

if TYPE_CHECKING:
    from edgesdk.models.card import ModelCard

__all__ = ["Binding", "bind_outputs", "check_roles", "roles_of"]

Keys = tuple[str | int, ...]


def roles_of(decode: Decode) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The roles that *decode* needs, and those that it takes if they are there."""
    match decode:
        case SsdNms():
            return ("boxes", "scores", "classes"), ("count",)
        case TflitePostprocess():
            return ("boxes", "classes", "scores"), ("count",)
        case DetectionOutput():
            return ("detections",), ()
        case SsdAnchors():
            return ("boxes", "scores"), ()
        case Classify():
            return ("scores",), ()
        case Embed():
            return ("vector",), ()
        case Raw():
            return (), ()
        case _:
            return ("predictions",), ()


def check_roles(decode: Decode, outputs: Outputs, keys: Keys) -> Iterable[tuple[Keys, str]]:
    """Mistakes in an ``[outputs]`` table: unknown roles, two roles on one tensor."""
    if isinstance(decode, Raw):
        return
    needed, optional = roles_of(decode)
    names: dict[str, str] = {}
    for role, said in outputs.items():
        name = said.name if isinstance(said, Output) else said
        if role not in needed and role not in optional:
            known = ", ".join((*needed, *optional))
            yield (*keys, role), f"this kind of decoding has no such role; it has {known}"
        elif name in names:
            yield (*keys, role), f"{name!r} is already the role {names[name]!r}"
        names[name] = role


def find_tensor(name: str, tensors: Mapping[str, object]) -> str | None:
    """The tensor that *name* means: runtimes add ``:0`` to TensorFlow's names, or drop it."""
    for candidate in (name, f"{name}:0", name.removesuffix(":0")):
        if candidate in tensors:
            return candidate
    return None


@dataclass(frozen=True)
class Binding:
    """Which tensor plays which role; *inferred*: those that the card left out."""

    names: Mapping[str, str]
    inferred: Mapping[str, str]
    quantisation: Mapping[str, Quantisation]


def bind_outputs(
    card: ModelCard, said: Mapping[str, Output], tensors: Mapping[str, Any]
) -> Binding:
    """Binds the roles of *card* to *tensors*, things with ``shape`` and ``dtype`` by name.

    :raises ModelInvalid: a named output is not there, or a role cannot be told from shapes.
    """
    needed, optional = roles_of(card.decode)
    names: dict[str, str] = {}
    quantisation: dict[str, Quantisation] = {}
    for role, output in said.items():
        found = find_tensor(output.name, tensors)
        if found is None:
            raise ModelInvalid(
                f"{card.name}: the card's output {role} = {output.name!r} is not in the model, "
                f"which has {_listing(tensors)}"
            )
        names[role] = found
        if output.quantisation is not None:
            quantisation[role] = output.quantisation
    missing = [r for r in (*needed, *optional) if r not in names]
    free = {n: t for n, t in tensors.items() if n not in names.values()}
    inferred = infer_roles(missing, free) if missing else {}
    lost = [r for r in needed if r not in names and r not in inferred]
    if lost:
        raise ModelInvalid(
            f"{card.name}: cannot tell which output is {' and '.join(lost)}; name it under "
            f"[outputs]. The model has {_listing(tensors)}"
        )
    return Binding({**names, **inferred}, inferred, quantisation)


def infer_roles(missing: Sequence[str], tensors: Mapping[str, Any]) -> dict[str, str]:
    """Roles by shape and dtype; a role that could be more than one tensor stays out."""
    shapes = {n: tuple(t.shape) for n, t in tensors.items()}
    if len(missing) == 1 and len(shapes) == 1:
        return {missing[0]: next(iter(shapes))}
    deepest = max((len(shape) for shape in shapes.values()), default=0)
    rules: dict[str, Callable[[str], bool]] = {
        "boxes": lambda n: len(shapes[n]) == max(deepest, 2) and shapes[n][-1] in _BOX_WIDTHS,
        "detections": lambda n: shapes[n][-1:] == (7,),
        "predictions": lambda n: len(shapes[n]) == 3,
        "count": lambda n: len(shapes[n]) == 1 or shapes[n] in ((1, 1), ()),
        "classes": lambda n: np.dtype(tensors[n].dtype).kind in "iu" or _hinted("classes", n),
        "scores": lambda n: np.dtype(tensors[n].dtype).kind == "f",
        "vector": lambda n: len(shapes[n]) >= 2,
    }
    inferred: dict[str, str] = {}
    left = set(shapes)
    for role in rules:
        if role in missing:
            fitting = [n for n in left if rules[role](n)]
            if len(fitting) > 1:
                fitting = [n for n in fitting if _hinted(role, n)]
            if len(fitting) == 1:
                inferred[role] = fitting[0]
                left.discard(fitting[0])
    return inferred


_HINTS = {
    "boxes": ("box", "regress", "location"),
    "count": ("num", "count"),
    "classes": ("class", "label"),
    "scores": ("score", "conf", "prob", "logit", "class"),
}


def _hinted(role: str, name: str) -> bool:
    return any(hint in name.lower() for hint in _HINTS.get(role, ()))


_BOX_WIDTHS = (4, 16, 18)  # 16, 18: boxes followed by 6 or 7 key points, as MediaPipe has them


def _listing(tensors: Mapping[str, Any]) -> str:
    return ", ".join(f"{n!r} {list(t.shape)} {t.dtype}" for n, t in tensors.items())
