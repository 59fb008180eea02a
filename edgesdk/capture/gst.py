"""A GStreamer pipeline, through whichever brings GStreamer here: PyGObject or a board's OpenCV."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.capture.container import refuse_bomb
from edgesdk.capture.picture import Picture, Reader, Silent
from edgesdk.capture.source import Source
from edgesdk.core.ring import ColourRange, ColourSpace
from edgesdk.errors import CaptureError

__all__ = ["open_pipeline"]

SECOND = 1_000_000_000
TAIL = "videoconvert ! video/x-raw,format=BGR"


def open_pipeline(source: Source) -> Reader:
    """A reader of ``gst:PIPELINE``; what converts to BGR and hands over is added to its end.

    Raises:
        CaptureError: nothing here brings GStreamer, or the pipeline does not start.
    """
    try:
        import gi  # type: ignore[import-not-found]

        gi.require_version("Gst", "1.0")
        from gi.repository import Gst  # type: ignore[import-not-found]
    except (ImportError, ValueError):
        return _OpenCvReader(source)
    return _GObjectReader(source, Gst)


class _GObjectReader:
    codec = "gstreamer"

    def __init__(self, source: Source, gst: Any) -> None:
        self.decode_errors = 0
        self._source, self._gst = source, gst
        gst.init(None)
        # leaky: the pipeline's clock goes on, and what was not fetched is of no use to anyone.
        sink = "appsink name=edgesdk max-buffers=2 drop=true sync=false"
        try:
            self._pipeline = gst.parse_launch(f"{source.location} ! {TAIL} ! {sink}")
        except Exception as error:
            raise _error(source, str(error)) from None
        self._sink = self._pipeline.get_by_name("edgesdk")
        self._pipeline.set_state(gst.State.PLAYING)

    def __iter__(self) -> Iterator[Picture]:
        patience = round(self._source.timeout * 2 * SECOND)
        while True:
            sample = self._sink.emit("try-pull-sample", patience)
            if sample is None:
                raise self._failure()
            yield self._picture(sample, time.monotonic_ns())

    def _picture(self, sample: Any, arrival_ns: int) -> Picture:
        shape = sample.get_caps().get_structure(0)
        width, height = shape.get_value("width"), shape.get_value("height")
        refuse_bomb(self._source, width, height)
        known, above, below = shape.get_fraction("framerate")
        return Picture(
            width=width,
            height=height,
            write=partial(self._write, sample.get_buffer(), width, height),
            taken_ns=arrival_ns,
            colour_space=ColourSpace.SRGB,
            colour_range=ColourRange.FULL,
            frame_rate=above / below if known and below else 0.0,
        )

    def _write(
        self, buffer: Any, width: int, height: int, slot: NDArray[np.uint8], stride: int
    ) -> None:
        mapped, info = buffer.map(self._gst.MapFlags.READ)
        if not mapped:
            raise _error(self._source, "a buffer cannot be mapped")
        try:
            # GStreamer pads the rows of a BGR picture to four bytes.
            pitch = -(-width * 3 // 4) * 4
            pixels = np.frombuffer(info.data, np.uint8)[: height * pitch].reshape(height, pitch)
            rows = slot[: height * stride].reshape(height, stride)
            rows[:, : width * 3] = pixels[:, : width * 3]
        finally:
            buffer.unmap(info)

    def _failure(self) -> CaptureError:
        gst = self._gst
        message = self._pipeline.get_bus().pop_filtered(gst.MessageType.ERROR)
        if message is not None:
            return _error(self._source, str(message.parse_error()[0].message))
        if self._sink.get_property("eos"):
            return _error(self._source, "the pipeline ended")
        return Silent(f"{self._source.redacted}: silent for {self._source.timeout * 2:g} s")

    def close(self) -> None:
        self._pipeline.set_state(self._gst.State.NULL)


class _OpenCvReader:
    codec = "gstreamer"

    def __init__(self, source: Source) -> None:
        import cv2

        self.decode_errors = 0
        self._source = source
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise _error(
                source,
                "nothing here brings GStreamer; install PyGObject (Debian: python3-gi "
                "gir1.2-gst-plugins-base-1.0) or an OpenCV built with it",
            )
        cv2.setNumThreads(1)
        pipeline = f"{source.location} ! {TAIL} ! appsink max-buffers=2 drop=true sync=false"
        self._capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
        if not self._capture.isOpened():
            raise _error(source, "the pipeline does not start")
        self._rate = float(self._capture.get(cv2.CAP_PROP_FPS))

    def __iter__(self) -> Iterator[Picture]:
        while True:
            good, image = self._capture.read()
            if not good:
                raise _error(self._source, "the pipeline ended or failed")
            height, width = image.shape[:2]
            refuse_bomb(self._source, width, height)
            yield Picture(
                width=width,
                height=height,
                write=partial(_copy, np.asarray(image, np.uint8)),
                taken_ns=time.monotonic_ns(),
                colour_space=ColourSpace.SRGB,
                colour_range=ColourRange.FULL,
                frame_rate=self._rate if 0 < self._rate < 1000 else 0.0,
            )

    def close(self) -> None:
        self._capture.release()


def _copy(image: NDArray[np.uint8], slot: NDArray[np.uint8], stride: int) -> None:
    height, width = image.shape[:2]
    slot[: height * stride].reshape(height, stride)[:, : width * 3] = image.reshape(height, -1)


def _error(source: Source, what: str) -> CaptureError:
    return CaptureError(f"{source.redacted}: {source.conceal(what)}")
