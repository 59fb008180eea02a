"""A camera over HTTP, honest or hostile; run as a program: ``camera_server.py PORT [options]``."""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import itertools
import re
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

from edgesdk.capture.synthetic import scene

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("--width", type=int, default=320)
parser.add_argument("--height", type=int, default=240)
parser.add_argument("--fps", type=float, default=25)
parser.add_argument("--user", default="")
parser.add_argument("--password", default="")
parser.add_argument("--digest", action="store_true")
parser.add_argument("--away", default="", help="where /away redirects to")
parser.add_argument("--certificate", default="", help="PEM with key: serve https")
arguments = parser.parse_args()

drawn = scene(1, arguments.width, arguments.height)
shots = itertools.count()


def jpeg(index: int) -> bytes:
    image = np.empty((arguments.height, arguments.width, 3), np.uint8)
    drawn.draw(index, image)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def bomb() -> bytes:
    """A small JPEG whose header says 60000 x 60000."""
    data = bytearray(jpeg(0))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = (60000).to_bytes(2, "big") * 2
    return bytes(data)


class Camera(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        if not self._allowed():
            return
        kind = self.path.split("?")[0].strip("/")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, "serve_" + kind.replace("-", "_"), self.serve_nothing)()

    def _allowed(self) -> bool:
        if not arguments.user:
            return True
        said = self.headers.get("Authorization", "")
        if arguments.digest:
            good = self._digest_is_right(said)
            challenge = 'Digest realm="camera", nonce="abc", qop="auth", algorithm=SHA-256'
        else:
            pair = f"{arguments.user}:{arguments.password}".encode()
            good = said == "Basic " + base64.b64encode(pair).decode()
            challenge = 'Basic realm="camera"'
        if not good:
            self.send_response(401)
            self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Length", "0")
            self.end_headers()
        return good

    def _digest_is_right(self, said: str) -> bool:
        got = dict(re.findall(r'(\w+)="?([^",]+)', said))

        def digest(text: str) -> str:
            return hashlib.sha256(text.encode()).hexdigest()

        first = digest(f"{arguments.user}:camera:{arguments.password}")
        second = digest(f"GET:{self.path}")
        middle = f"abc:{got.get('nc')}:{got.get('cnonce')}:auth"
        return got.get("response") == digest(f"{first}:{middle}:{second}")

    def _begin(self, kind: str, *headers: tuple[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def _part(self, data: bytes, *, length: bool = True) -> None:
        said = f"Content-Length: {len(data)}\r\n" if length else ""
        head = f"--frame\r\nContent-Type: image/jpeg\r\n{said}\r\n".encode()
        self.wfile.write(head + data + b"\r\n")

    def serve_nothing(self) -> None:
        self.send_error(404)

    def serve_stream(self) -> None:
        self._begin("multipart/x-mixed-replace; boundary=frame")
        start = time.monotonic()
        for index in itertools.count():
            self._part(jpeg(index), length="bare" not in self.path)
            time.sleep(max(0.0, start + (index + 1) / arguments.fps - time.monotonic()))

    def serve_shot(self) -> None:
        data = jpeg(next(shots))
        self._begin("image/jpeg", ("Content-Length", str(len(data))))
        self.wfile.write(data)

    def serve_chunked(self) -> None:
        self._begin("multipart/x-mixed-replace; boundary=frame", ("Transfer-Encoding", "chunked"))
        for index in itertools.count():
            body = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg(index) + b"\r\n"
            for at in range(0, len(body), 700):
                piece = body[at : at + 700]
                self.wfile.write(b"%x;more=less\r\n%s\r\n" % (len(piece), piece))
            time.sleep(1 / arguments.fps)

    def serve_away(self) -> None:
        self.send_response(302)
        self.send_header("Location", arguments.away)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def serve_stranger(self) -> None:
        """A picture for who brings no credentials."""
        if self.headers.get("Authorization"):
            self.send_error(500, "you should not have told me")
        else:
            self.serve_shot()

    def serve_bomb(self) -> None:
        data = bomb()
        self._begin("image/jpeg", ("Content-Length", str(len(data))))
        self.wfile.write(data)

    def serve_garbage(self) -> None:
        self._begin("multipart/x-mixed-replace; boundary=frame")
        while True:
            self._part(b"\xff\xd8" + np.random.default_rng(1).bytes(2000))

    def serve_page(self) -> None:
        self._begin("text/html", ("Content-Length", "4"))
        self.wfile.write(b"Hi!\n")

    def serve_huge_part(self) -> None:
        self._begin("multipart/x-mixed-replace; boundary=frame")
        self.wfile.write(b"--frame\r\nContent-Length: 99999999999\r\n\r\n")
        threading.Event().wait(30)

    def serve_silence(self) -> None:
        threading.Event().wait(30)

    def serve_half(self) -> None:
        """One picture, then silence on an open connection."""
        self._begin("multipart/x-mixed-replace; boundary=frame")
        self._part(jpeg(0))
        self._part(jpeg(1))
        threading.Event().wait(30)

    def serve_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            self.wfile.write(b"X-More: " + b"x" * 1000 + b"\r\n")

    def serve_drip(self) -> None:
        """A byte of header now and then, so that no single wait is long."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            self.wfile.write(b"x")
            time.sleep(0.1)


ThreadingHTTPServer.daemon_threads = True
server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Camera)
if arguments.certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
