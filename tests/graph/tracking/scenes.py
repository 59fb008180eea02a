"""Made scenes of walking people, with what a detector would see of them.

``python scenes.py FOLDER`` writes each scene to ``FOLDER/NAME.npz``: truth ``[n, 6]``, columns
frame, id, x1, y1, x2, y2, and detections ``[n, 6]``, columns frame, score, x1, y1, x2, y2; int16,
in quarters of a pixel and thousandths of a score.
"""

import sys
from pathlib import Path

import numpy as np

WIDTH, HEIGHT = 1280, 720


def walkers(rng, people, frames):
    """Boxes ``[frames, people, 4]``; walks bend; who is nearer is larger and lower."""
    depth = rng.uniform(0.3, 1.0, people)
    place = np.stack([rng.uniform(50, WIDTH - 50, people), 200 + 450 * depth], axis=1)
    velocity = np.stack([rng.uniform(-6, 6, people), rng.uniform(-0.6, 0.6, people)], axis=1)
    found = np.zeros((frames, people, 4))
    for t in range(frames):
        velocity += rng.normal(0, 0.12, velocity.shape)
        velocity[:, 1] = np.clip(velocity[:, 1], -1, 1)
        place += velocity
        turn = (place[:, 0] < 0) | (place[:, 0] > WIDTH)
        velocity[turn, 0] *= -1
        height = 60 + 0.35 * (place[:, 1] - 200)
        width = height * 0.4
        found[t] = np.stack(
            [
                place[:, 0] - width / 2,
                place[:, 1] - height,
                place[:, 0] + width / 2,
                place[:, 1],
            ],
            axis=1,
        )
    return found


def hidden(boxes, i):
    """The share of box *i* that nearer people (lower in the picture) cover, at most one of them."""
    mine = boxes[i]
    nearer = boxes[boxes[:, 3] > mine[3]]
    if not len(nearer):
        return 0.0
    low = np.maximum(mine[:2], nearer[:, :2])
    high = np.minimum(mine[2:], nearer[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    return float(common.max() / np.prod(mine[2:] - mine[:2]))


def scene(seed, *, people, frames, jitter, misses, ghosts):
    rng = np.random.default_rng(seed)
    boxes = walkers(rng, people, frames)
    truth, detections = [], []
    for t in range(frames):
        for i in range(people):
            x = (boxes[t, i, 0] + boxes[t, i, 2]) / 2
            if not 0 <= x <= WIDTH:
                continue
            truth.append([t, i + 1, *boxes[t, i]])
            cover = hidden(boxes[t], i)
            if rng.random() < misses or cover > 0.85:
                continue
            score = float(np.clip(0.9 - 0.8 * cover + rng.normal(0, 0.07), 0.05, 0.99))
            size = boxes[t, i, 3] - boxes[t, i, 1]
            detections.append([t, score, *(boxes[t, i] + rng.normal(0, jitter * size, 4))])
        for _ in range(rng.poisson(ghosts)):
            x, y = rng.uniform(0, WIDTH), rng.uniform(200, HEIGHT)
            height = rng.uniform(50, 200)
            score = float(np.clip(rng.normal(0.3, 0.15), 0.05, 0.8))
            box = [x, y - height, x + 0.4 * height, y]
            detections.append([t, score, *box])
    truth = np.rint(np.array(truth) * [1, 1, 4, 4, 4, 4])
    detections = np.rint(np.array(detections) * [1, 1000, 4, 4, 4, 4])
    return truth.astype(np.int16), detections.astype(np.int16)


def read(file):
    """Truth and detections of a scene's file, float32 in pixels, scores in [0, 1]."""
    with np.load(file) as stored:
        truth = stored["truth"].astype(np.float32)
        detections = stored["detections"].astype(np.float32)
    truth[:, 2:] /= 4
    detections[:, 2:] /= 4
    detections[:, 1] /= 1000
    return truth, detections


SCENES = {
    "crossing": lambda: scene(1, people=8, frames=250, jitter=0.02, misses=0.02, ghosts=0.1),
    "crowd": lambda: scene(2, people=16, frames=200, jitter=0.03, misses=0.05, ghosts=0.5),
    "shaky": lambda: scene(3, people=6, frames=250, jitter=0.06, misses=0.15, ghosts=0.3),
}

if __name__ == "__main__":
    for name, make in SCENES.items():
        truth, detections = make()
        np.savez_compressed(Path(sys.argv[1]) / f"{name}.npz", truth=truth, detections=detections)
