"""One URI a camera: what it names, with which options, and how to speak of it without secrets."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from edgesdk.durations import parse_duration
from edgesdk.errors import CaptureError, UsageError
from edgesdk.redaction import credentials, redact

__all__ = ["Kind", "Source", "parse_source"]

RAW_FORMATS = {".264": "h264", ".h264": "h264", ".265": "hevc", ".h265": "hevc"}

_RING_NAME = re.compile(r"[a-z0-9._-]{1,63}")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_OPTIONS = re.compile(r"[a-z_]+=[^&]*(&[a-z_]+=[^&]*)*")
_EXPECTED = (
    "a file, rtsp://, rtsps://, http://, https://, v4l2:/dev/video0, gst:PIPELINE, ring:NAME "
    "or synthetic:"
)


class Kind(str, Enum):
    """How a source is read."""

    FILE = "file"
    RTSP = "rtsp"
    HTTP = "http"
    V4L2 = "v4l2"
    GST = "gst"
    RING = "ring"
    SYNTHETIC = "synthetic"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed source. Immutable, and safe to share between threads.

    ``location`` holds the credentials, if there are any: it is for the worker alone. Whatever a
    person may see is :attr:`redacted`, or went through :meth:`conceal`; ``repr`` does so too.
    """

    kind: Kind
    location: str
    redacted: str
    pace: Literal["real", "fast"] = "real"
    loop: bool = False
    fps: float = 0.0
    """Frames a second, where the user said; 0 = as the source tells."""
    timeout: float = 5.0
    """Seconds without a frame after which a live source is `stalled`; it is reconnected after
    twice as long."""
    interval: float = 1.0
    """Seconds from snapshot to snapshot."""
    transport: Literal["tcp", "udp"] = "tcp"
    verify: bool = True
    """Whether the certificate of an https camera is checked."""
    max_pixels: int = 64_000_000
    """A frame with more pixels is refused before it is decoded."""
    threads: int = 1
    """Threads of the decoder."""
    width: int = 0
    height: int = 0
    frames: int = 0
    """Length of a synthetic scene; 0 = endless."""
    seed: int = 0
    input_format: str = ""
    """What a V4L2 device is asked for, such as ``mjpeg``; empty = its default."""

    @property
    def live(self) -> bool:
        """Whether the source goes on for ever and is reconnected when it fails."""
        return self.kind not in (Kind.FILE, Kind.SYNTHETIC)

    @property
    def lossless(self) -> bool:
        """Whether its worker waits for :meth:`CaptureSupervisor.acknowledge` (``pace=fast``)."""
        return self.pace == "fast"

    def conceal(self, text: str) -> str:
        """*text* with user name, password and tokens of this source replaced by ``***``."""
        return redact(text, credentials(self.location))

    def check(self) -> None:
        """Look whether a local source is there, without opening it.

        Raises:
            CaptureError: the file or device does not exist, cannot be read, or is of another kind.
        """
        if self.kind is Kind.FILE:
            _check_file(self.location)
        elif self.kind is Kind.V4L2:
            _check_device(self.location)

    def __repr__(self) -> str:
        return f"<Source {self.redacted}>"


def parse_source(uri: str) -> Source:
    """Read a source's URI; the kinds and options are those of docs/contract.md.

    Pure: touches neither file system nor network (:meth:`Source.check` does).

    Raises:
        UsageError: the text cannot mean a source, or an option is unknown or out of range.
            The message never holds credentials.
    """
    text = uri.strip()
    if not text or "\0" in text:
        raise UsageError(f"a source is empty; expected {_EXPECTED}")
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else ""
    rest = text[match.end() :] if match else text
    if scheme in ("rtsp", "rtsps", "http", "https"):
        return _network(scheme, text)
    if scheme == "file":
        return _file(unquote(_without_authority(rest)), text)
    if scheme == "v4l2":
        return _v4l2(rest, text)
    if scheme == "gst":
        return _gst(rest)
    if scheme == "ring":
        return _ring(rest, text)
    if scheme == "synthetic":
        return _synthetic(rest, text)
    if scheme and rest.startswith("//"):
        raise UsageError(f"source {scheme}://...: {scheme!r} is not known; expected {_EXPECTED}")
    return _file(text, text)


def _without_authority(rest: str) -> str:
    if not rest.startswith("//"):
        return rest
    host, slash, path = rest[2:].partition("/")
    if host not in ("", "localhost"):
        raise UsageError(f"source file://{host}/...: a file lies on this machine; write file:PATH")
    return slash + path


def _file(text: str, shown: str) -> Source:
    path, options = _split_options(text)
    if not path:
        raise UsageError(f"source {shown!r} names no file")
    return _build(Kind.FILE, path, shown, options, _FILE_OPTIONS)


def _v4l2(text: str, shown: str) -> Source:
    path, options = _split_options(text)
    if not path.startswith("/dev/"):
        raise UsageError(f"source {shown!r}: expected a device, such as v4l2:/dev/video0")
    return _build(Kind.V4L2, path, shown, options, _V4L2_OPTIONS)


def _gst(pipeline: str) -> Source:
    if not pipeline.strip():
        raise UsageError("source 'gst:' has no pipeline; expected gst:videotestsrc or the like")
    shown = "gst:" + redact(pipeline, credentials(pipeline))
    return _build(Kind.GST, pipeline, shown, {}, {})


def _ring(text: str, shown: str) -> Source:
    name, options = _split_options(text)
    if not _RING_NAME.fullmatch(name):
        raise UsageError(
            f"source {shown!r}: a ring's name has 1 to 63 characters of a-z, 0-9, '.', '_', '-'"
        )
    return _build(Kind.RING, name, shown, options, {"timeout": _TIMEOUT})


def _synthetic(text: str, shown: str) -> Source:
    rest = text.removeprefix("//")
    if rest and not rest.startswith("?"):
        raise UsageError(f"source {shown!r}: options follow a '?', as in synthetic:?width=640")
    options = dict(parse_qsl(rest[1:], keep_blank_values=True))
    defaults = {"width": "640", "height": "360", "fps": "10"}
    return _build(Kind.SYNTHETIC, "", shown, {**defaults, **options}, _SYNTHETIC_OPTIONS)


def _network(scheme: str, text: str) -> Source:
    # The text may hold a password with characters that belong escaped, so nothing of it is shown
    # until it has been taken apart.
    hidden = f"source {scheme}://***"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(
            f"{hidden}: not a URL (a '#', '/', '[' or ']' in a password must be percent-encoded)"
        ) from error
    if not host:
        raise UsageError(f"{hidden}: no host; expected {scheme}://HOST/PATH")
    kept, options = [], {}
    for pair in filter(None, parts.query.split("&")):
        key, _, value = pair.partition("=")
        if key.startswith("edge."):
            options[key[5:]] = unquote(value)
            continue
        kept.append(pair)
        # The contract's table writes these two bare. They still reach the camera, which may mean
        # something of its own by them.
        if key == "interval" and scheme.startswith("http") and re.search("m?s$", value):
            options.setdefault("interval", value)
        if key == "transport" and scheme.startswith("rtsp") and value in ("tcp", "udp"):
            options.setdefault("transport", value)
    location = parts._replace(scheme=scheme, query="&".join(kept), fragment="").geturl()
    shown = redact(location, credentials(location))
    kind = Kind.RTSP if scheme.startswith("rtsp") else Kind.HTTP
    known = _RTSP_OPTIONS if kind is Kind.RTSP else _HTTP_OPTIONS
    return _build(kind, location, shown, options, known, prefix="edge.")


def _split_options(text: str) -> tuple[str, dict[str, str]]:
    path, mark, query = text.rpartition("?")
    # A '?' is legal in a file's name: only key=value pairs after it are options.
    if mark and _OPTIONS.fullmatch(query):
        return path, dict(parse_qsl(query, keep_blank_values=True))
    return text, {}


Reader = Callable[[str], Any]


def _build(
    kind: Kind,
    location: str,
    shown: str,
    options: Mapping[str, str],
    known: Mapping[str, Reader],
    prefix: str = "",
) -> Source:
    values: dict[str, Any] = {}
    for key, text in options.items():
        if key not in known:
            names = ", ".join(sorted(prefix + name for name in known)) or "none"
            raise UsageError(f"source {shown!r}: unknown option {prefix + key!r}; known: {names}")
        try:
            values["input_format" if key == "format" else key] = known[key](text)
        except ValueError as error:
            raise UsageError(f"source {shown!r}: {prefix}{key}={text!r}: {error}") from None
    return Source(kind=kind, location=location, redacted=shown, **values)


def _seconds(low: float, high: float) -> Reader:
    def read(text: str) -> float:
        try:
            value = parse_duration(f"{text}s" if text[-1:].isdigit() else text) / 1e9
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"expected a time of {low:g}s to {high:g}s, such as 500ms or 2s")
        return value

    return read


def _number(low: int, high: int) -> Reader:
    def read(text: str) -> int:
        value = int(text) if re.fullmatch(r"\d{1,12}", text) else -1
        if not low <= value <= high:
            raise ValueError(f"expected an integer from {low} to {high}")
        return value

    return read


def _rate(text: str) -> float:
    value = float(text) if re.fullmatch(r"\d*\.?\d+", text) else math.nan
    if not 0.01 <= value <= 1000:
        raise ValueError("expected frames a second, from 0.01 to 1000")
    return value


def _switch(text: str) -> bool:
    if text.lower() not in ("1", "0", "true", "false", "yes", "no"):
        raise ValueError("expected 1 or 0")
    return text.lower() in ("1", "true", "yes")


def _one_of(*words: str) -> Reader:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected {' or '.join(words)}")
        return text

    return read


def _word(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,32}", text):
        raise ValueError("expected the name of a pixel format, such as mjpeg or yuyv422")
    return text


_TIMEOUT = _seconds(0.1, 3600)
_DECODER: dict[str, Reader] = {
    "timeout": _TIMEOUT,
    "max_pixels": _number(1, 1 << 30),
    "threads": _number(1, 4),
}
_PACE = _one_of("real", "fast")
_FILE_OPTIONS = {**_DECODER, "pace": _PACE, "loop": _switch, "fps": _rate}
_RTSP_OPTIONS = {**_DECODER, "transport": _one_of("tcp", "udp")}
_HTTP_OPTIONS = {**_DECODER, "interval": _seconds(0.01, 86400), "verify": _switch}
_V4L2_OPTIONS = {
    **_DECODER,
    "width": _number(16, 16384),
    "height": _number(16, 16384),
    "fps": _rate,
    "format": _word,
}
_SYNTHETIC_OPTIONS = {
    "width": _number(64, 16384),
    "height": _number(64, 16384),
    "fps": _rate,
    "frames": _number(0, 1 << 40),
    "seed": _number(0, (1 << 32) - 1),
    "pace": _PACE,
}


def _check_file(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror}; expected a video file") from error
    if not stat.S_ISREG(mode):
        raise CaptureError(f"{path}: not a regular file; expected a video file")
    if not os.access(path, os.R_OK):
        raise CaptureError(f"{path}: Permission denied; this user must be able to read it")


def _check_device(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror}; `ls /dev/video*` lists cameras") from error
    if not stat.S_ISCHR(mode):
        raise CaptureError(f"{path}: not a device")
    if not os.access(path, os.R_OK | os.W_OK):
        raise CaptureError(f"{path}: Permission denied; is this user in the group 'video'?")
