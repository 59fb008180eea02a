"""Files, RTSP and V4L2 through FFmpeg (PyAV)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from edgesdk.capture.clock import ArrivalClock
from edgesdk.capture.convert import BgrConverter, colours
from edgesdk.capture.jpeg import read_header
from edgesdk.capture.picture import Picture, Silent
from edgesdk.capture.qp import mean_qp
from edgesdk.capture.source import RAW_FORMATS, Kind, Source
from edgesdk.errors import CaptureError

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["ContainerReader", "refuse_bomb"]

SECOND = 1_000_000_000
# Packets in a row that give no picture before a stream counts as garbage. A GOP of a real camera
# has at most some hundred pictures, and those before the first key frame cannot be decoded.
GARBAGE_PACKETS = 600


class ContainerReader:
    """One pass through a file, or one connection to an RTSP server or a V4L2 device.

    A picture's media time is its presentation time; in raw streams, which have none that can be
    trusted, and where the user gave ``fps``, it is index / rate.

    Raises:
        CaptureError: the source cannot be opened, holds no video, is not decodable, is larger than
            ``max_pixels``, or (live) gave nothing for twice its timeout.
    """

    def __init__(self, source: Source) -> None:
        self.codec = ""
        self.decode_errors = 0
        self.note: str | None = None
        self._source = source
        self._converter = BgrConverter()
        self._container = _open(source)
        try:
            self._stream = self._choose_stream()
            self._prepare_decoder()
        except BaseException:
            self._container.close()
            raise

    def _choose_stream(self) -> VideoStream:
        for stream in self._container.streams.video:
            if stream.codec_context is not None:
                return stream
        raise CaptureError(f"{self._source.redacted}: no video that can be decoded in it")

    def _prepare_decoder(self) -> None:
        context = self._stream.codec_context
        self.codec = context.name
        refuse_bomb(self._source, context.width, context.height)
        context.options = {
            "max_pixels": str(self._source.max_pixels),
            "export_side_data": "venc_params",
        }
        context.thread_count = self._source.threads
        # Frame threads keep as many pictures back, which a live source cannot afford.
        context.thread_type = "SLICE" if self._source.live else "AUTO"
        rate = self._source.fps or float(
            self._stream.average_rate or self._stream.guessed_rate or 0.0
        )
        self._rate = rate if 0.0 < rate < 1000.0 else 0.0
        raw = os.path.splitext(self._source.location)[1].lower() in RAW_FORMATS
        self._by_index = self._source.kind is Kind.FILE and (raw or self._source.fps > 0.0)

    def __iter__(self) -> Iterator[Picture]:
        import av

        clock = ArrivalClock()
        index = barren = 0
        heard = time.monotonic()
        try:
            for packet in self._packets():
                now, heard = time.monotonic_ns(), time.monotonic()
                presented = _nanoseconds(packet.pts, packet.time_base)
                if presented is not None:
                    clock.arrived(presented, now)
                try:
                    frames = self._decode(packet)
                except av.error.InvalidDataError:
                    self.decode_errors += 1
                    frames = []
                barren = 0 if frames else barren + 1
                if barren > GARBAGE_PACKETS:
                    raise CaptureError(
                        f"{self._source.redacted}: {barren} packets in a row gave no picture; "
                        f"this is not {self.codec}, or it is damaged"
                    )
                jpeg_qp = self._jpeg_qp(packet) if frames else -1
                for frame in frames:
                    picture = self._picture(frame, index, jpeg_qp)
                    presented = _nanoseconds(frame.pts, frame.time_base)
                    picture.taken_ns = clock.taken(presented, now)
                    yield picture
                    index += 1
        except av.error.FFmpegError as error:
            raise _named(self._source, error, heard) from None
        if index == 0:
            raise CaptureError(
                f"{self._source.redacted}: no picture could be decoded; this is not {self.codec}, "
                f"or damaged, or larger than max_pixels={self._source.max_pixels}"
            )
        self.note = self._missing(index)

    def _packets(self) -> Iterator[Packet[Any]]:
        import av

        try:
            yield from self._container.demux(self._stream)
        except av.error.InvalidDataError:
            # The demuxer lost its way in a damaged file: what the decoder still holds is good.
            self.decode_errors += 1
            if self._source.live:
                raise
            yield av.Packet()

    def _decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        import av

        try:
            return self._stream.codec_context.decode(packet if packet.size else None)
        except av.error.EOFError:
            return []

    def _picture(self, frame: VideoFrame, index: int, qp: int) -> Picture:
        refuse_bomb(self._source, frame.width, frame.height)
        space, full = colours(frame)
        return Picture(
            width=frame.width,
            height=frame.height,
            write=partial(self._converter, frame),
            media_ns=self._media_ns(frame, index),
            colour_space=space,
            colour_range=full,
            frame_rate=self._rate,
            qp=qp if qp >= 0 else mean_qp(frame),
        )

    def _media_ns(self, frame: VideoFrame, index: int) -> int | None:
        if self._source.live:
            return None
        presented = None if self._by_index else _nanoseconds(frame.pts, frame.time_base)
        if presented is not None:
            return presented
        return round(index * SECOND / (self._rate or 25.0))

    def _jpeg_qp(self, packet: Packet[Any]) -> int:
        if self.codec != "mjpeg" or not packet.size:
            return -1
        try:
            return read_header(memoryview(packet)).qp
        except CaptureError:
            return -1

    def _missing(self, decoded: int) -> str | None:
        """Says so if the container promised clearly more pictures than came."""
        promised = self._stream.frames
        if promised and decoded < promised:
            return f"the file is damaged or cut off: {decoded} of {promised} pictures"
        if self.decode_errors:
            return f"{self.decode_errors} damaged packets were skipped"
        return None

    def close(self) -> None:
        self._converter.close()
        self._container.close()


def refuse_bomb(source: Source, width: int, height: int) -> None:
    """Raise CaptureError if a picture of this size is over the source's ``max_pixels``."""
    if width * height > source.max_pixels:
        prefix = "edge." if source.kind in (Kind.RTSP, Kind.HTTP) else ""
        raise CaptureError(
            f"{source.redacted}: a picture of {width}x{height} is over the limit of "
            f"{source.max_pixels} pixels; {prefix}max_pixels={width * height} would allow it"
        )


def _nanoseconds(units: int | None, base: Any) -> int | None:
    return None if units is None or base is None else round(units * base * SECOND)


def _open(source: Source) -> InputContainer:
    import av

    av.logging.set_level(None)
    source.check()
    options = {"max_pixels": str(source.max_pixels)}
    form: str | None = None
    # FFmpeg's RTSP tries once more after an interruption, which makes it up to twice as long.
    limits: tuple[float | None, float | None] = (source.timeout, source.timeout)
    if source.kind is Kind.FILE:
        # A playlist may name other files and hosts; a video file may not.
        options["protocol_whitelist"] = "file"
        form = RAW_FORMATS.get(os.path.splitext(source.location)[1].lower())
        limits = (None, None)
    elif source.kind is Kind.RTSP:
        options |= {
            "rtsp_transport": source.transport,
            "rtsp_flags": "prefer_tcp" if source.transport == "tcp" else "0",
            # The frame rate is told or measured later; a second spent on it here would be a second
            # without frames at each reconnect.
            "fpsprobesize": "0",
            "analyzeduration": "1000000",
            "protocol_whitelist": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto",
        }
    else:
        form = "v4l2"
        if source.width and source.height:
            options["video_size"] = f"{source.width}x{source.height}"
        if source.fps:
            options["framerate"] = f"{source.fps:g}"
        if source.input_format:
            options["input_format"] = source.input_format
    began = time.monotonic()
    try:
        # With its scheme: FFmpeg would take "12:30.mp4" for the protocol "12".
        name = f"file:{source.location}" if source.kind is Kind.FILE else source.location
        return av.open(name, format=form, options=options, timeout=limits)
    except av.error.FFmpegError as error:
        raise _named(source, error, began) from None
    except (OSError, ValueError) as error:
        raise CaptureError(f"{source.redacted}: {source.conceal(str(error))}") from None


_ADVICE = {
    "HTTPUnauthorizedError": "the user name or password is wrong (401)",
    "HTTPForbiddenError": "this user may not see it (403)",
    "HTTPNotFoundError": "there is no such stream (404)",
    "ConnectionRefusedError": "the connection was refused: nothing listens there",
    "InvalidDataError": "not a video that FFmpeg can read, or damaged",
    "EOFError": "the server ended the connection",
}


def _named(source: Source, error: Any, since: float) -> CaptureError:
    """Our error for FFmpeg's, whose text repeats the URL with its password."""
    kind = type(error).__name__
    silent = time.monotonic() - since
    if kind == "ExitError":
        return Silent(f"{source.redacted}: connected, but silent for {silent:.1f} s")
    if source.kind is Kind.RTSP and kind == "InvalidDataError" and silent >= source.timeout:
        # FFmpeg's own timeout, while it waited for the server's first words, ends as this too.
        return Silent(f"{source.redacted}: no RTSP answer within {source.timeout:g} s")
    said = _ADVICE.get(kind) or source.conceal(str(error.strerror or error))
    return CaptureError(f"{source.redacted}: {said}")
