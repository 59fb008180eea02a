"""What a source's URI means, and that its secrets stay inside."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesdk.capture import Kind, parse_source
from edgesdk.errors import CaptureError, UsageError


@pytest.mark.parametrize(
    ("uri", "kind", "location"),
    [
        ("video.mp4", Kind.FILE, "video.mp4"),
        ("/a/b.264", Kind.FILE, "/a/b.264"),
        ("file:b.mp4", Kind.FILE, "b.mp4"),
        ("file:///a/b%20c.mp4?pace=fast", Kind.FILE, "/a/b c.mp4"),
        ("what?.mp4", Kind.FILE, "what?.mp4"),
        ("12:30.mp4", Kind.FILE, "12:30.mp4"),
        ("rtsp://host/stream", Kind.RTSP, "rtsp://host/stream"),
        ("RTSPS://host/s?edge.transport=udp&x=1", Kind.RTSP, "rtsps://host/s?x=1"),
        ("http://host/shot?edge.interval=2s", Kind.HTTP, "http://host/shot"),
        ("https://host:8443/?a=%20&b", Kind.HTTP, "https://host:8443/?a=%20&b"),
        ("v4l2:/dev/video0?width=640&height=480", Kind.V4L2, "/dev/video0"),
        ("gst:videotestsrc ! videoscale", Kind.GST, "videotestsrc ! videoscale"),
        ("ring:door", Kind.RING, "door"),
        ("synthetic:?width=320&height=240&fps=5", Kind.SYNTHETIC, ""),
        ("synthetic:", Kind.SYNTHETIC, ""),
    ],
)
def test_each_kind_of_uri_is_recognised(uri: str, kind: Kind, location: str) -> None:
    source = parse_source(uri)
    assert (source.kind, source.location) == (kind, location)


def test_options_are_read_and_the_cameras_own_query_is_left_alone() -> None:
    source = parse_source("http://host/shot?channel=1&edge.interval=250ms&res=hi&edge.timeout=2s")
    assert source.location == "http://host/shot?channel=1&res=hi"
    assert (source.interval, source.timeout) == (0.25, 2.0)
    bare = parse_source("http://host/shot?interval=3s")
    assert (bare.interval, bare.location) == (3.0, "http://host/shot?interval=3s")
    file = parse_source("a.mp4?pace=fast&loop=1&fps=12.5&threads=2")
    assert (file.pace, file.loop, file.fps, file.threads) == ("fast", True, 12.5, 2)


def test_only_files_and_scenes_end_and_only_a_fast_pace_is_lossless() -> None:
    assert not parse_source("a.mp4").live
    assert parse_source("rtsp://host/").live
    assert parse_source("a.mp4?pace=fast").lossless
    assert not parse_source("a.mp4").lossless


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", "empty"),
        ("ftp://host/x", "'ftp' is not known"),
        ("a.mp4?pase=fast", "'pase'; known: fps, loop"),
        ("a.mp4?pace=quick", "expected real or fast"),
        ("a.mp4?loop=maybe", "expected 1 or 0"),
        ("rtsp://host/?edge.transport=pigeon", "expected tcp or udp"),
        ("rtsp://host/?edge.interval=1s", "unknown option 'edge.interval'"),
        ("http://host/?edge.interval=0s", "0.01s to 86400s"),
        ("http://", "no host"),
        ("ring:Front Door", "a-z, 0-9"),
        ("ring:" + 64 * "x", "1 to 63 characters"),
        ("v4l2:video0", "v4l2:/dev/video0"),
        ("gst:", "no pipeline"),
        ("synthetic:?width=10", "64 to 16384"),
        ("synthetic:?fps=nan", "from 0.01 to 1000"),
        ("file://elsewhere/a.mp4", "lies on this machine"),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(uri: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(uri)
    assert said in str(caught.value)


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=4)


@given(user=words, password=words, scheme=st.sampled_from(["rtsp", "rtsps", "http", "https"]))
def test_no_spelling_of_a_password_is_ever_shown(user: str, password: str, scheme: str) -> None:
    user, password = f"u{user}u", f"p{password}p"
    escaped = f"{quote(user, safe='')}:{quote(password, safe='')}"
    source = parse_source(f"{scheme}://{escaped}@host/path?token={quote(password, safe='')}&a=b")
    text = f"failed: {source.location!s}: user {user} with {password} ({quote(password, safe='')})"
    for shown in (source.redacted, repr(source), source.conceal(text), f"{source!s}"):
        assert password not in shown
        assert quote(password, safe="") not in shown
        assert user not in shown
    assert source.redacted == f"{scheme}://***@host/path?token=***&a=b"


@pytest.mark.parametrize(
    "password", ["pa#ss-word", "pa/ss-word", "pa?ss-word", "[pass-word", "@@@@"]
)
def test_a_password_that_was_not_escaped_is_not_shown_either(password: str) -> None:
    uri = f"rtsp://admin:{password}@host/stream"
    try:
        shown = parse_source(uri).redacted
    except UsageError as error:
        shown = str(error)
    assert password not in shown
    assert "ss-word" not in shown


def test_a_pipelines_credentials_are_hidden() -> None:
    source = parse_source(
        'gst:rtspsrc location=rtsp://a:bcde@h/ user-id=admin user-pw="s3cret" ! x'
    )
    for secret in ("bcde", "admin", "s3cret"):
        assert secret not in source.redacted
    assert "rtspsrc" in source.redacted


def test_a_missing_file_a_folder_and_no_device_are_named(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "no.mp4", "No such file"), (tmp_path, "not a regular file")):
        with pytest.raises(CaptureError, match=said):
            parse_source(str(path)).check()
    with pytest.raises(CaptureError, match="/dev/video77"):
        parse_source("v4l2:/dev/video77").check()
