"""A cascade: find people, then classify the crop of each by colour.

edgesdk models add examples/models/colour.toml
edgesdk run examples/cascade.py:colours --camera street=VIDEO --out results.jsonl
"""

import edgesdk as edge


@edge.app(deadline="1s")
def colours(camera: edge.Camera):
    persons = camera.sample(fps=5).detect("person-ssdlite", classes=["person"], score=0.5)
    return {"people": persons.classify("colour", top=1, name="colour")}
