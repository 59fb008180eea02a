"""Pictures and headers on the wire: what comes back, and what hostile bytes can and cannot do."""

from __future__ import annotations

import contextlib
import struct
import time

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgesdk.cluster import frame_codec
from edgesdk.cluster.frame_codec import decode_parts, encode_pictures, jpeg_size
from edgesdk.cluster.groups import (
    MAX_HEADER_BYTES,
    Envelope,
    GroupHeader,
    Picture,
    pack_envelope,
    pack_refusal,
    pack_reply,
    split,
    unpack_envelope,
    unpack_refusal,
    unpack_reply,
)
from edgesdk.errors import WireError

TOKEN = bytes(range(16))
CODECS = ["simplejpeg", "opencv"]


@pytest.fixture(params=CODECS)
def library(request, monkeypatch):
    """Both ways to code a JPEG: with the wheel, and where there is none."""
    if request.param == "opencv":
        monkeypatch.setattr(frame_codec, "_simplejpeg", lambda: None)
    return request.param


def scene(height=120, width=160, channels=3):
    """A smooth picture with edges, in which each channel differs."""
    rng = np.random.default_rng(height * width)
    small = rng.integers(0, 255, (height // 20, width // 20, 3), np.uint8)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    picture[20:40, 30:90] = (250, 20, 90)
    return {3: picture, 1: picture[:, :, :1].copy(), 0: picture[:, :, 0].copy()}[channels]


def header_of(pictures, codec):
    return GroupHeader(1, 2, 0, codec, pictures)


def round_trip(pictures, codec):
    pictures, parts = encode_pictures(pictures, codec)
    return decode_parts(parts, header_of(pictures, codec))


@pytest.mark.parametrize(
    ("side", "exact", "colour", "codec"),
    [
        (300, False, "RGB", frame_codec.DEFAULT_CODEC),
        (300, False, "BGR", f"{frame_codec.DEFAULT_CODEC}-bgr"),
        (300, True, "BGR", "raw"),
        (64, False, "RGB", "raw"),  # a crop for a classifier: nothing to save
    ],
)
def test_pictures_are_compressed_where_that_saves_something_and_nobody_asks_for_their_bits(
    side, exact, colour, codec
):
    assert frame_codec.codec_for(3 * side * side, exact=exact, colour=colour) == codec
    assert frame_codec.check_codec(codec) == codec


@pytest.mark.parametrize("channels", [3, 1, 0])
def test_raw_pictures_come_back_to_the_bit(channels):
    pictures = [scene(100 + 20 * i, 160, channels) for i in range(3)]
    pictures[1] = pictures[1][::-1]  # not contiguous
    for sent, got in zip(pictures, round_trip(pictures, "raw"), strict=True):
        np.testing.assert_array_equal(sent, got)
        assert got.flags.writeable


@pytest.mark.parametrize("codec", ["jpeg-90", "jpeg-95-bgr", "jpeg-75"])
@pytest.mark.parametrize("channels", [3, 1, 0])
def test_jpeg_comes_back_nearly_the_same_in_the_same_form(library, channels, codec):
    sent = scene(channels=channels)
    (got,) = round_trip([sent], codec)
    assert (got.shape, got.dtype) == (sent.shape, np.uint8)
    assert np.abs(got.astype(int) - sent).mean() < (2 if codec == "jpeg-90" else 6)


def test_either_library_reads_what_the_other_wrote(monkeypatch):
    sent = scene()
    pictures, parts = encode_pictures([sent], "jpeg-90")
    ours = decode_parts(parts, header_of(pictures, "jpeg-90"))[0]
    monkeypatch.setattr(frame_codec, "_simplejpeg", lambda: None)
    theirs = decode_parts(parts, header_of(pictures, "jpeg-90"))[0]
    assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_quality_is_the_codecs_name_and_pays_in_bytes():
    sizes = [sum(map(len, encode_pictures([scene()], f"jpeg-{q}")[1])) for q in (50, 80, 95)]
    assert sizes == sorted(sizes)
    assert 10 * sizes[0] < scene().nbytes


@pytest.mark.parametrize("codec", ["", "jpeg", "jpeg-0", "jpeg-101", "JPEG-85", "png", "raw2"])
def test_an_unknown_codec_is_refused_on_both_sides(codec):
    with pytest.raises(WireError, match="codec"):
        encode_pictures([scene()], codec)
    with pytest.raises(WireError, match="codec"):
        decode_parts([b"x"], header_of((Picture(1, 1, 0, 1),), codec))


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)],
)
def test_what_is_no_picture_is_not_sent(picture):
    with pytest.raises(ValueError, match="picture"):
        encode_pictures([picture], "raw")


def test_a_jpeg_of_another_size_never_reaches_the_decoder(library, monkeypatch):
    pictures, (part,) = encode_pictures([scene()], "jpeg-90")
    at = part.index(b"\xff\xc0") + 5
    bomb = part[:at] + struct.pack(">HH", 65000, 65000) + part[at + 4 :]
    monkeypatch.setattr(cv2, "imdecode", lambda *a: pytest.fail("decoded"))
    with pytest.raises(WireError, match="65000 x 65000"):
        decode_parts([bomb], header_of(pictures, "jpeg-90"))
    assert jpeg_size(part) == (120, 160, 3)


def test_progressive_truncated_and_damaged_jpegs_are_refused(library):
    picture = scene()
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    progressive = cv2.imencode(".jpg", picture, options)[1].tobytes()
    with pytest.raises(WireError, match="baseline"):
        decode_parts([progressive], header_of((Picture(120, 160, 3, len(progressive)),), "jpeg-90"))
    pictures, (part,) = encode_pictures([picture], "jpeg-90")
    for bad in (part[:-2], part[: len(part) // 2], part[:3], b"\xff\xd8\xff\xd9", b"\xff" * 500):
        with pytest.raises(WireError):
            decode_parts([bad], header_of(pictures, "jpeg-90"))


def test_a_group_that_would_unpack_to_too_much_is_refused_before():
    pictures = tuple(Picture(4000, 4000, 3, 10) for _ in range(8))
    with pytest.raises(WireError, match="more than"):
        decode_parts([b"x" * 10] * 8, header_of(pictures, "jpeg-90"))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_bytes_as_a_picture_do_more_than_fail(data):
    pictures, (part,) = encode_pictures([scene()], "jpeg-90")
    bad = bytearray(part)
    for _ in range(data.draw(st.integers(1, 8))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    bad = bytes(bad[: data.draw(st.integers(0, len(bad)))])
    begun = time.monotonic()
    try:
        (got,) = decode_parts([bad], header_of(pictures, "jpeg-90"))
    except WireError:
        pass
    else:
        assert got.shape == (120, 160, 3)
    assert time.monotonic() - begun < 1


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_have_a_size_or_are_no_jpeg(data):
    for start in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe0"):
        try:
            height, width, components = jpeg_size(start + data)
        except WireError:
            continue
        assert height >= 0
        assert width >= 0
        assert components in (1, 3)


side = st.integers(1, 1 << 14)
pictures_of_any_kind = st.lists(
    st.builds(Picture, side, side, st.integers(0, 4), st.integers(1, 1 << 20)),
    min_size=1,
    max_size=8,
).map(tuple)


@settings(max_examples=100, deadline=None)
@given(
    pictures=pictures_of_any_kind,
    group=st.integers(0, (1 << 64) - 1),
    left_ns=st.integers(0, 1 << 60),
    reading=st.binary(max_size=1000),
)
def test_a_header_comes_back_as_it_was(pictures, group, left_ns, reading):
    header = GroupHeader(group, (1 << 64) - 1, 7, "jpeg-90", pictures, reading)
    size = sum(picture.size for picture in pictures)
    found = unpack_envelope(pack_envelope(TOKEN, 42, left_ns, header), size)
    assert found.header == header
    assert (found.token, found.origin) == (TOKEN, 42)
    assert found.time_left_us == left_ns // 1000
    with pytest.raises(WireError, match="add up"):
        unpack_envelope(pack_envelope(TOKEN, 42, left_ns, header), size + 1)


def test_a_header_is_small():
    header = GroupHeader(1, (1 << 64) - 1, 0, "jpeg-90", (Picture(300, 300, 3, 20_000),) * 4)
    assert len(pack_envelope(TOKEN, 42, 500_000_000, header)) < 110


def test_a_newer_versions_further_fields_are_ignored():
    header = GroupHeader(1, 2, 3, "raw", (Picture(1, 1, 0, 1),))
    fields = msgspec.msgpack.decode(pack_envelope(TOKEN, 42, 10**9, header))
    fields[-1][4][0].append("a field of a picture")
    fields[-1] += ["a field of the header", {"nested": [1, [2, [3]]]}]
    fields.append("a field of the envelope")
    found = unpack_envelope(msgspec.msgpack.encode(fields), 1)
    assert found.header == header
    assert unpack_reply(msgspec.msgpack.encode([1, 5, b"p", "new"])).provenance == b"p"
    assert unpack_refusal(msgspec.msgpack.encode([1, "busy", "", 7])).reason == "busy"
    fields[0] = 2
    with pytest.raises(WireError, match="version 2"):
        unpack_envelope(msgspec.msgpack.encode(fields), 1)


def test_a_peers_words_are_printable_before_anybody_sees_them():
    said = msgspec.msgpack.encode([1, "failed", "\x1b[2Jgone\nTraceback (most recent call last)"])
    assert unpack_refusal(said).message == " [2Jgone Traceback (most recent call last)"


def test_an_older_versions_missing_fields_have_their_defaults():
    fields = [1, TOKEN, 42, 1000, [1, 2, 0, "raw", [[1, 1, 0, 1]]]]
    assert unpack_envelope(msgspec.msgpack.encode(fields), 1).header.reading == b""
    assert unpack_reply(msgspec.msgpack.encode([1, 5])).provenance == b""


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_refused(data):
    for unpack in (lambda d: unpack_envelope(d, 1), unpack_reply, unpack_refusal):
        with contextlib.suppress(WireError):
            unpack(data)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_header_with_flipped_bytes_is_a_header_or_refused(data):
    header = GroupHeader(1, 2, 3, "jpeg-90", (Picture(300, 300, 3, 999),) * 2, b"reading")
    packed = bytearray(pack_envelope(TOKEN, 42, 10**9, header))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = unpack_envelope(bytes(packed), 1998)
    except WireError:
        return
    assert isinstance(found, Envelope)
    assert sum(picture.size for picture in found.header.pictures) == 1998


def test_a_message_that_is_too_large_is_not_even_read():
    deep = b"\x91" * 5000
    for data in (
        deep,
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        bytes(MAX_HEADER_BYTES + 1),
    ):
        for unpack in (lambda d: unpack_envelope(d, 1), unpack_reply, unpack_refusal):
            with pytest.raises(WireError):
                unpack(data)
    with pytest.raises(WireError, match="header of"):
        pack_envelope(TOKEN, 1, 1, GroupHeader(1, 2, 3, "raw", (Picture(1, 1, 0, 1),), bytes(9000)))


def test_long_words_of_a_refusal_are_cut():
    assert len(unpack_refusal(pack_refusal("failed", "x" * 10_000)).message) == 1000
    assert unpack_reply(pack_reply(-5, b"")).held_ns == 0


def test_parts_are_views_of_the_payload():
    payload = b"aabbb"
    parts = split(payload, (2, 3))
    assert [bytes(part) for part in parts] == [b"aa", b"bbb"]
    assert all(part.obj is payload for part in parts)
