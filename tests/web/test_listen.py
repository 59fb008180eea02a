import socket

import pytest

from edgesdk.errors import UsageError
from edgesdk.listen import parse_listen
from edgesdk.web import WebServer


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:8080", "[::]:80", "192.168.1.2:80", "example.com:80", "169.254.1.1:80"]
)
def test_an_address_that_others_can_reach_is_refused_for_want_of_an_identity(scene, listen):
    with pytest.raises(UsageError, match="no cluster identity"):
        WebServer(scene, listen)


@pytest.mark.parametrize("listen", ["", "8080", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x"])
def test_what_is_no_address_is_told(listen):
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:8080"):
        parse_listen(listen)


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("127.9.9.9:1", ("127.9.9.9", 1)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_loopback_is_taken(listen, address):
    assert parse_listen(listen) == address


def test_a_port_that_is_taken_is_told_at_once(scene):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = WebServer(scene, f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(UsageError, match="Address already in use"):
            server.start()


def test_it_answers_as_soon_as_it_has_started_and_no_more_once_closed(scene):
    server = WebServer(scene, "127.0.0.1:0")
    server.start()
    port = int(server.url.rpartition(":")[2])
    socket.create_connection(("127.0.0.1", port), 5).close()
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
