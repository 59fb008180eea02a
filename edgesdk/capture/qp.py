"""The mean quantisation parameter that the H.264 decoder tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["mean_qp"]

# Of delta_qp in AVVideoBlockParams, behind src_x, src_y, w, h.
_DELTA = slice(16, 20)


def mean_qp(frame: VideoFrame) -> int:
    """Mean over the macroblocks, rounded; -1 where the codec (or an old PyAV) does not tell.

    H.264: 0 (lossless) to 51. Other codecs: -1, since FFmpeg's decoders keep theirs to themselves.
    """
    from av.sidedata.sidedata import SideDataContainer

    # Not frame.side_data, which the frame keeps: a cycle, and with it 3 MB a frame until the
    # garbage collector happens to run.
    container: Any = SideDataContainer
    found: Any
    for found in container(frame):
        count = getattr(found, "nb_blocks", None)
        if count is None:
            continue
        if count == 0:
            return int(found.qp)
        if found.block_size < _DELTA.stop:
            return -1
        raw = np.frombuffer(found, np.uint8)[found.blocks_offset :]
        blocks = raw[: count * found.block_size].reshape(count, found.block_size)
        return round(float(found.qp + blocks[:, _DELTA].copy().view("<i4").mean()))
    return -1
