"""edgesdk inside a Python program: results come to a function of yours.

python examples/embedding.py VIDEO
"""

import sys
from typing import Any

import edgesdk as edge
from edgesdk.runtime import Node


@edge.app(deadline="1s")
def people(camera: edge.Camera):
    return camera.sample(fps=5).detect("person-ssdlite", classes=["person"], score=0.5)


def main(video: str) -> None:
    seen: list[int] = []

    def on_result(record: dict[str, Any]) -> None:
        if record["state"] == "ok":
            (detections,) = record["outputs"].values()
            seen.append(len(detections["items"]))

    with Node([people], {"street": f"file:{video}"}, on_result=on_result) as node:
        node.wait(10)
    frames = node.summary().applications["people"].cameras["street"].frames
    print(f"{frames.ok} of {frames.captured} frames looked at, at most {max(seen)} people in one")


if __name__ == "__main__":
    main(sys.argv[1])
