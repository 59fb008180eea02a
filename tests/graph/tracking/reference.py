"""What the package ``trackers`` makes of the scenes; run with it installed, apart from edgesdk.

``pip install 'trackers==2.6.*' && python reference.py FOLDER`` reads ``FOLDER/*.npz`` and writes
``FOLDER/*.reference.npz``: int16, the track of each detection in its order, -1 for none, at 30
frames a second (``all``) and at 5 (``sixth``). The thresholds are those that the test gives to
edgesdk.
"""

import sys
from pathlib import Path

import numpy as np
import supervision
from scenes import read
from trackers import ByteTrackTracker


def track(detections, every):
    """The track of each detection, seeing one frame of *every*; -1 for none."""
    tracker = ByteTrackTracker(
        track_activation_threshold=0.6, high_conf_det_threshold=0.5, frame_rate=30 / every
    )
    ids = np.full(len(detections), -1, np.int16)
    for t in range(0, int(detections[:, 0].max()) + 1, every):
        rows = np.flatnonzero(detections[:, 0] == t)
        seen = detections[rows]
        found = tracker.update(
            supervision.Detections(
                xyxy=seen[:, 2:6], confidence=seen[:, 1], class_id=np.arange(len(seen))
            )
        )
        ids[rows[found.class_id]] = found.tracker_id
    return ids


for file in sorted(Path(sys.argv[1]).glob("*.npz")):
    if not file.name.endswith(".reference.npz"):
        _, detections = read(file)
        np.savez_compressed(
            file.with_suffix(".reference.npz"), all=track(detections, 1), sixth=track(detections, 6)
        )
