"""The loop one writes without edgesdk: decode, resize, infer. The reference of pipeline.py.

One process, OpenVINO with a given thread count, frames one after another, as a script on the
runtime's own examples would do it.
"""

from __future__ import annotations

import time
from pathlib import Path

import av
import cv2
import numpy as np


class SsdliteLoop:
    """The person detector of the demo on every frame of a video.

    Not thread-safe. *run* returns (frames, seconds, detections per frame) after *warm_up* frames
    that are not counted.
    """

    def __init__(self, model: Path, threads: int) -> None:
        import openvino

        core = openvino.Core()
        network = core.read_model(model)
        network.reshape({network.input(0).any_name: [1, 300, 300, 3]})
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self.request = core.compile_model(network, "CPU", settings).create_infer_request()
        self.names = {name: port for port in self.request.model_outputs for name in port.names}

    def run(self, video: Path, frames: int, warm_up: int = 20) -> tuple[int, float, list[int]]:
        found: list[int] = []
        began = time.perf_counter()
        for number, image in enumerate(looped(video, frames + warm_up)):
            if number == warm_up:
                began = time.perf_counter()
            found.append(len(self.detect(image)))
        return len(found) - warm_up, time.perf_counter() - began, found[warm_up:]

    def detect(self, image: np.ndarray, score: float = 0.5) -> np.ndarray:
        """Rows ``x1, y1, x2, y2, score, label id`` in pixels of *image* (RGB)."""
        height, width = image.shape[:2]
        outputs = self.request.infer({0: cv2.resize(image, (300, 300))[None]})
        scores = outputs[self.names["detection_scores:0"]][0]
        keep = scores >= score
        boxes = outputs[self.names["detection_boxes:0"]][0][keep][:, [1, 0, 3, 2]]
        labels = outputs[self.names["detection_classes:0"]][0][keep]
        boxes = boxes * np.array([width, height, width, height], np.float32)
        return np.column_stack([boxes, scores[keep], labels])


def looped(video: Path, frames: int):  # type: ignore[no-untyped-def]
    """RGB frames of *video*, from the start again where it ends, *frames* in all."""
    count = 0
    while count < frames:
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                yield frame.to_ndarray(format="rgb24")
                count += 1
                if count == frames:
                    return
