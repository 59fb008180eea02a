"""Names of a model's classes: on the card, or in a file beside it."""

from __future__ import annotations

import stat
from pathlib import Path

from edgesdk.errors import CardError
from edgesdk.models.cardfile import Keys
from edgesdk.models.paths import path_problem
from edgesdk.models.schema import MAX_LABEL_LENGTH, MAX_LABELS, CardDocument

__all__ = ["labels_of_card", "parse_labels", "read_labels_file"]

MAX_LABEL_FILE = 8 << 20


def labels_of_card(
    doc: CardDocument, root: Path, mistakes: list[tuple[Keys, str]]
) -> dict[int, str]:
    if doc.labels is not None and doc.labels_file is not None:
        mistakes.append((("labels_file",), "labels are given twice: as labels and as labels_file"))
    key = "labels" if doc.labels is not None else "labels_file"
    if isinstance(doc.labels, dict):
        labels = {}
        for text, name in doc.labels.items():
            if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or len(text) > 9:
                mistakes.append((("labels", text), f"{text!r}: expected an integer id"))
            else:
                labels[int(text)] = name
    elif doc.labels is not None:
        labels = dict(enumerate(doc.labels))
    elif doc.labels_file is not None:
        try:
            labels = read_labels_file(root, doc.labels_file)
        except CardError as e:
            mistakes.append((("labels_file",), str(e)))
            return {}
    else:
        return {}
    for i, name in labels.items():
        if len(name) > MAX_LABEL_LENGTH or not name.isprintable():
            text = f"label {i} is longer than {MAX_LABEL_LENGTH} or not printable"
            mistakes.append(((key,), text))
            break
    return labels


def read_labels_file(root: Path, name: str) -> dict[int, str]:
    """Ids and names of a label file: one name a line (ids from 0), or ``id name`` on each line."""
    problem = path_problem(name)
    if problem:
        raise CardError(problem)
    path = root / name
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CardError(f"{name!r}: {path} is not a regular file")
        with path.open("rb") as f:
            raw = f.read(MAX_LABEL_FILE + 1)
    except FileNotFoundError:
        raise CardError(f"{name!r}: there is no such file in {root}") from None
    except OSError as e:
        raise CardError(f"{name!r}: {path} cannot be read: {e.strerror}") from None
    if len(raw) > MAX_LABEL_FILE:
        raise CardError(f"{name!r}: larger than {MAX_LABEL_FILE >> 20} MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise CardError(f"{name!r}: not UTF-8 (byte {e.start}): is it a label file?") from None
    return parse_labels(text, name)


def parse_labels(text: str, name: str) -> dict[int, str]:
    """Labels of a text; raises CardError when it is empty or has too many lines."""
    rows = [line.strip() for line in text.splitlines()]
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        raise CardError(f"{name!r}: empty: expected one label a line")
    if len(rows) > MAX_LABELS:
        raise CardError(f"{name!r}: more than {MAX_LABELS} lines")
    split = [row.replace(":", " ", 1).split(None, 1) for row in rows if row]
    if all(len(parts) == 2 and parts[0].isascii() and parts[0].isdigit() for parts in split):
        return {int(parts[0]): parts[1].strip() for parts in split}
    return dict(enumerate(rows))
