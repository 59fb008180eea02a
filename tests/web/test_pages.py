import re
import socket
import time

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgesdk.web.documents import CamerasDocument, HealthDocument, ReadyDocument


def get(server, path: str, **headers: str) -> httpx.Response:
    return httpx.get(server.url + path, headers=headers, timeout=10)


def test_the_counters_are_what_prometheus_reads(server):
    families = {f.name: f for f in text_string_to_metric_families(get(server, "/metrics").text)}

    def value(name: str, **labels: str) -> float:
        return next(
            sample.value
            for family in families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    door = {"app": "people", "camera": "door"}
    assert value("edgesdk_frames_captured_total", **door) == 3000
    assert value("edgesdk_frames_ended_total", **door, state="late") == 40
    assert value("edgesdk_frames_dropped_total", **door, reason="queue") == 20
    assert value("edgesdk_output", **door, output="people", field="total") == 31
    assert value("edgesdk_camera_state", camera="door", state="streaming") == 1
    assert value("edgesdk_camera_state", camera="door", state="stalled") == 0
    assert value("edgesdk_inferences_total", model="person-ssdlite") == 1150
    assert value("edgesdk_queue_depth", queue="detect") == 2
    assert value("edgesdk_sink_pending", kind="mqtt") == 199
    assert value("edgesdk_latency_seconds_bucket", **door, le="0.025") == 2
    assert value("edgesdk_latency_seconds_bucket", **door, le="+Inf") == 5
    assert value("edgesdk_latency_seconds_count", **door) == 5
    assert value("edgesdk_operator_seconds_count", operator="detect") == 10
    assert value("edgesdk_operator_seconds_sum", operator="detect") == pytest.approx(198.508)
    series = [
        (sample.name, *sorted(sample.labels.items()))
        for family in families.values()
        for sample in family.samples
    ]
    assert len(series) == len(set(series)), "Prometheus refuses a series that is there twice"


def test_health_readiness_and_cameras_are_documents(server, scene):
    health = msgspec.json.decode(get(server, "/healthz").content, type=HealthDocument)
    assert (health.status, health.node) == ("ok", "node-1")
    assert get(server, "/readyz").status_code == 200
    scene.ready = False
    answer = get(server, "/readyz")
    assert answer.status_code == 503
    ready = msgspec.json.decode(answer.content, type=ReadyDocument)
    assert ready.not_ready == ["model person-ssdlite is being prepared"]
    cameras = msgspec.json.decode(get(server, "/cameras").content, type=CamerasDocument)
    assert cameras.cameras["door"].applications["people"].frames.passed == 1200
    assert cameras.cameras["yard <b>"].camera.state == "reconnecting"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil", "", "a:b:c"])
def test_a_request_under_another_name_is_turned_away(server, host):
    assert get(server, "/cameras", host=host).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]:80"])
def test_a_request_under_this_machines_name_is_answered(server, host):
    assert get(server, "/cameras", host=host).status_code == 200


def test_no_other_site_may_read_or_show_what_is_served(server):
    for path in ("/", "/cameras", "/metrics", "/nothing"):
        headers = get(server, path, origin="http://evil.example").headers
        assert "access-control-allow-origin" not in headers
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_the_page_loads_nothing_from_elsewhere(server):
    page = get(server, "/").text
    loaded = re.findall(r'(?:src|rel="stylesheet" href)="([^"]*)"', page)
    assert sorted(loaded) == ["/page.css", "/page.js"]
    for path in loaded:
        answer = get(server, path)
        assert answer.status_code == 200
        assert "://" not in answer.text
    assert "://" not in page


def test_an_error_in_the_node_is_told_without_its_words(server, scene, monkeypatch):
    def broken():
        raise RuntimeError("rtsp://bob:hunter2@host broke")

    monkeypatch.setattr(scene, "snapshot", broken)
    answer = get(server, "/cameras")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text


def test_who_connects_and_says_nothing_is_hung_up_on(server, monkeypatch):
    monkeypatch.setattr("edgesdk.web.server._REQUEST_S", 0.2)
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert silent.recv(1) == b""
    with socket.create_connection(("127.0.0.1", port), 5) as silent:
        silent.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += silent.recv(1000)
        started = time.monotonic()
        silent.sendall(b"GET / HT")
        assert silent.recv(1) == b""
        assert time.monotonic() - started < 3
    assert get(server, "/healthz").status_code == 200


def test_a_request_head_without_end_is_refused(server):
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5) as greedy:
        greedy.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert greedy.recv(100).startswith(b"HTTP/1.1 400")
