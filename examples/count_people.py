"""Counts people: now, in total, and across a line.

edgesdk run examples/count_people.py:people --camera street=VIDEO --out results.jsonl
"""

import edgesdk as edge


@edge.app(deadline="500ms")
def people(camera: edge.Camera):
    moving = camera.sample(fps=10).gate()
    persons = moving.detect("person-ssdlite", classes=["person"], score=0.5)
    tracks = persons.track()
    return {
        "tracks": tracks,
        "people": tracks.count(),
        "line": tracks.line_count(line=[(0.5, 0.0), (0.5, 1.0)]),
    }
