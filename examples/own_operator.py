"""An operator of your own, without state and with.

edgesdk run examples/own_operator.py:crowd --camera street=VIDEO --out results.jsonl
"""

import edgesdk as edge


@edge.operator(version=1)
def near(detections: edge.Detections, info: edge.FrameInfo, share: float) -> edge.Detections:
    """Those who stand close to the camera: taller than a share of the frame."""
    heights = detections.boxes[:, 3] - detections.boxes[:, 1]
    return detections.select(heights > share * info.height)


@edge.operator(version=1, stateful=True)
class Record:
    """The largest number seen at once, and when."""

    def __init__(self) -> None:
        self.most = 0
        self.at_utc_ns = 0

    def step(self, detections: edge.Detections, info: edge.FrameInfo) -> edge.Measurement:
        if len(detections) > self.most:
            self.most, self.at_utc_ns = len(detections), info.capture_utc_ns
        return edge.Measurement("record", {"most": self.most, "at_utc_ns": self.at_utc_ns})


@edge.app(deadline="1s")
def crowd(camera: edge.Camera):
    persons = camera.sample(fps=5).detect("person-ssdlite", classes=["person"], score=0.5)
    close = persons.apply(near, share=0.3)
    return {"near": close, "record": close.apply(Record)}
