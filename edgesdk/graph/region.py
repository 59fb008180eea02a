"""Which part of the frame a chain of crops and zones looks at, and which camera it comes from."""

from __future__ import annotations

from edgesdk.graph.node import Node

__all__ = ["box_of", "camera_of"]

Box = tuple[float, float, float, float]


def box_of(node: Node) -> Box | None:
    """The part of the frame that *node* looks at, in [0, 1]; None if nothing is left of it."""
    x1, y1, x2, y2 = 0.0, 0.0, 1.0, 1.0
    while node.inputs:
        if node.kind == "crop":
            corners = [node.params["box"][:2], node.params["box"][2:]]
        else:
            corners = list(node.params["polygon"])
        x1 = max(x1, min(x for x, _ in corners))
        y1 = max(y1, min(y for _, y in corners))
        x2 = min(x2, max(x for x, _ in corners))
        y2 = min(y2, max(y for _, y in corners))
        node = node.inputs[0]
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def camera_of(node: Node) -> Node:
    """The camera's own node, from which *node* is made."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node.role == "source":
            return node
        waiting.extend(node.inputs)
    raise AssertionError("every stream begins at a camera")
