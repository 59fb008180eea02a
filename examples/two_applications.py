"""Two applications on one camera: the detector they share runs once a frame.

edgesdk graph examples/two_applications.py:counting examples/two_applications.py:dwelling
edgesdk run examples/two_applications.py:counting examples/two_applications.py:dwelling \
    --camera street=VIDEO --out results.jsonl
"""

import edgesdk as edge

ENTRANCE = [(0.0, 0.4), (1.0, 0.4), (1.0, 1.0), (0.0, 1.0)]


@edge.app(deadline="500ms", weight=2)
def counting(camera: edge.Camera):
    frames = camera.sample(fps=5)
    tracks = frames.detect("person-ssdlite", classes=["person"], score=0.6).track()
    return {"people": tracks.count()}


@edge.app(deadline="2s")
def dwelling(camera: edge.Camera):
    frames = camera.sample(fps=5).gate()
    tracks = frames.detect("person-ssdlite", classes=["person"], score=0.4).track()
    return {"dwell": tracks.dwell(polygon=ENTRANCE)}
