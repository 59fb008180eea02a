"""A small HTTP/1.1 client for cameras, in which nothing is unbounded: neither bytes nor time.

`http.client` bounds each line and each wait, but not their sum: a server that sends one header
byte a second, or headers for ever, holds it as long as it likes.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from urllib.parse import SplitResult, urljoin, urlsplit

from edgesdk.capture.authorization import Authorization
from edgesdk.capture.picture import Silent
from edgesdk.errors import CaptureError

__all__ = ["HttpClient", "Response"]

HEADER_BYTES_MAX = 32 * 1024
REDIRECTS_MAX = 3
CHUNK_LINE_MAX = 128

_STATUS = re.compile(rb"(?:HTTP/1\.[01]|ICY) (\d{3})(?: ([^\r\n]*))?")
_WORDS = {
    401: "the user name or password is wrong (401)",
    403: "this user may not see it (403)",
    404: "there is no such stream (404)",
}


class HttpClient:
    """GETs one URL again and again. Credentials go to the URL's own host and no other."""

    def __init__(self, url: str, *, timeout: float, verify: bool = True) -> None:
        self._url = urlsplit(url)
        self._timeout = timeout
        self._verify = verify
        self._authorization = Authorization(self._url.username, self._url.password)

    def get(self) -> Response:
        """A response with status 200, whose body is not read yet.

        Raises:
            CaptureError: no answer within the timeout, or another status. The message names no
                URL: the caller adds its redacted one.
        """
        deadline = time.monotonic() + self._timeout
        url, home, challenged = self._url, True, False
        for _ in range(REDIRECTS_MAX + 2):
            response = self._request(url, home, deadline)
            if response.status == 200:
                return response
            response.close()
            if response.status == 401 and home and not challenged and self._authorization.possible:
                challenged = True
                if self._authorization.learn(response.all("www-authenticate")):
                    continue
            if response.status in (301, 302, 303, 307, 308) and response.first("location"):
                url = self._follow(url, response.first("location"))
                home = self._is_home(url)
                continue
            words = _WORDS.get(response.status, f"{response.status} {response.phrase}".strip())
            raise CaptureError(f"the server says: {words}")
        raise CaptureError(f"more than {REDIRECTS_MAX} redirects")

    def _follow(self, url: SplitResult, location: str) -> SplitResult:
        target = urlsplit(urljoin(url.geturl(), location))
        if target.scheme not in ("http", "https") or not target.hostname:
            raise CaptureError("the server redirects to something that is not HTTP")
        return target

    def _is_home(self, url: SplitResult) -> bool:
        """Whether *url* may have the credentials: the same server, or the same host with TLS."""
        own = self._url
        same = (url.scheme, url.port) == (own.scheme, own.port)
        return url.hostname == own.hostname and (same or url.scheme == "https")

    def _request(self, url: SplitResult, home: bool, deadline: float) -> Response:
        sock = self._connect(url, deadline)
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            host = url.hostname or ""
            host = f"[{host}]" if ":" in host else host
            lines = [
                f"GET {target} HTTP/1.1",
                f"Host: {host}" + (f":{url.port}" if url.port else ""),
                "User-Agent: edgesdk",
                "Accept: multipart/x-mixed-replace, image/jpeg, */*",
                "Connection: close",
            ]
            value = self._authorization.header("GET", target) if home else None
            if value is not None:
                lines.append(f"Authorization: {value}")
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            sock.sendall("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))
            return Response(sock, deadline, self._timeout)
        except OSError as error:
            sock.close()
            raise _named(error, self._timeout) from None
        except BaseException:
            sock.close()
            raise

    def _connect(self, url: SplitResult, deadline: float) -> socket.socket:
        port = url.port or (443 if url.scheme == "https" else 80)
        left = max(0.001, deadline - time.monotonic())
        try:
            sock = socket.create_connection((url.hostname, port), left)
            if url.scheme == "http":
                return sock
            context = ssl.create_default_context()
            if not self._verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            return context.wrap_socket(sock, server_hostname=url.hostname)
        except OSError as error:
            raise _named(error, self._timeout) from None


class Response:
    """Status and headers of an answer, and its body as a stream of bytes.

    The headers have until *deadline* (monotonic seconds); :meth:`allow` says how long the body, or
    its next part, may take.
    """

    def __init__(self, sock: socket.socket, deadline: float, timeout: float) -> None:
        self._socket = sock
        self._timeout = timeout
        self._deadline = deadline
        self._buffer = bytearray()
        self._left: int | None = None
        self._chunked = self._ended = False
        head = self._head()
        match = _STATUS.match(head)
        if match is None:
            raise CaptureError(f"not an HTTP answer: begins with {bytes(head[:16])!r}")
        self.status = int(match[1])
        self.phrase = (match[2] or b"")[:60].decode("ascii", "replace")
        self._headers = headers_of(head)
        self._chunked = "chunked" in self.first("transfer-encoding").lower()
        length = self.first("content-length")
        if not self._chunked and length.isascii() and length.isdigit() and len(length) < 19:
            self._left = int(length)

    @property
    def length(self) -> int | None:
        """Bytes of the body that are to come, where the server said."""
        return self._left

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._headers if key == name]

    def first(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    def allow(self, seconds: float) -> None:
        """From now on, reads together may take so long."""
        self._timeout = seconds
        self._deadline = time.monotonic() + seconds

    def read(self) -> bytes:
        """Some more bytes of the body, b"" at its end."""
        if self._chunked and not self._left:
            self._next_chunk()
        if self._left == 0:
            return b""
        if not self._buffer:
            self._fill()
        count = len(self._buffer) if self._left is None else min(self._left, len(self._buffer))
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        if self._left is not None:
            self._left -= count
        return data

    def close(self) -> None:
        self._socket.close()

    def _head(self) -> bytearray:
        while True:
            for end in (b"\r\n\r\n", b"\n\n"):
                at = self._buffer.find(end)
                if at >= 0:
                    head = self._buffer[:at]
                    del self._buffer[: at + len(end)]
                    return head
            if len(self._buffer) > HEADER_BYTES_MAX:
                raise CaptureError(f"more than {HEADER_BYTES_MAX} bytes of HTTP headers")
            if not self._fill():
                raise CaptureError("the server ended the connection before it answered")

    def _next_chunk(self) -> None:
        """Sets what is left to the size of the next chunk: 0 at the end, and then for ever."""
        if self._ended:
            return
        if self._left == 0:
            self._line()
        size = self._line().split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,15}", size):
            raise CaptureError("a damaged chunk in the HTTP answer")
        self._left = int(size, 16)
        self._ended = self._left == 0

    def _line(self) -> bytes:
        while (at := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > CHUNK_LINE_MAX or not self._fill():
                raise CaptureError("a damaged chunk in the HTTP answer")
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        return line

    def _fill(self) -> bool:
        left = self._deadline - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            chunk = self._socket.recv(65536)
        except OSError as error:
            raise _named(error, self._timeout) from None
        self._buffer += chunk
        return bool(chunk)


def headers_of(head: bytes | bytearray) -> list[tuple[str, str]]:
    """(lower-case name, value) of each header line; lines without a colon are passed over."""
    found = []
    for line in bytes(head).decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon and " " not in name:
            found.append((name.strip().lower(), value.strip()))
    return found


def _named(error: OSError, timeout: float) -> CaptureError:
    if isinstance(error, TimeoutError):
        return Silent(f"silent for {timeout:g} s")
    if isinstance(error, ConnectionRefusedError):
        return CaptureError("the connection was refused: nothing listens there")
    if isinstance(error, ssl.SSLCertVerificationError):
        return CaptureError(
            f"its certificate is not trusted ({error.verify_message}); edge.verify=0 accepts it"
        )
    if isinstance(error, socket.gaierror):
        return CaptureError(f"its host name is not known ({error.strerror})")
    return CaptureError(error.strerror or type(error).__name__)
