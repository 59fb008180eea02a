"""What the package ``trackers`` makes of the scenes; run with it installed, apart from edgesdk.

``pip install 'trackers==2.6.*' && python reference.py FOLDER`` reads ``FOLDER/*.npz`` and writes
``FOLDER/*.reference.npz``: ids, int16, the track of each detection in its order, -1 for none. The
thresholds are those that the test gives to edgesdk.
"""

import sys
from pathlib import Path

import numpy as np
import supervision
from scenes import read
from trackers import ByteTrackTracker

for file in sorted(Path(sys.argv[1]).glob("*.npz")):
    if file.name.endswith(".reference.npz"):
        continue
    _, detections = read(file)
    tracker = ByteTrackTracker(
        track_activation_threshold=0.6, high_conf_det_threshold=0.5, frame_rate=30
    )
    ids = np.full(len(detections), -1, np.int16)
    for t in range(int(detections[:, 0].max()) + 1):
        rows = np.flatnonzero(detections[:, 0] == t)
        seen = detections[rows]
        found = tracker.update(
            supervision.Detections(
                xyxy=seen[:, 2:6], confidence=seen[:, 1], class_id=np.arange(len(seen))
            )
        )
        ids[rows[found.class_id]] = found.tracker_id
    np.savez_compressed(file.with_suffix(".reference.npz"), ids=ids)
