"""Datagrams of the balancer: what goes in comes out, and nothing that comes in can hurt."""

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk.balance.digest import Digest, pack_digest, unpack_digest
from edgesdk.balance.messages import (
    ACCEPT,
    BUSY,
    SIZE_MAX,
    VERSION,
    Answer,
    Cancel,
    Exchange,
    Member,
    Offer,
    State,
    Unwatch,
    Watch,
    unpack,
)
from edgesdk.errors import MessageError

MS = 1_000_000
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
u64 = st.integers(0, 2**64 - 1)
shares = st.integers(0, 255).map(lambda n: n / 255)
digests = st.builds(
    Digest,
    incarnation=u16,
    sequence=u16,
    backlog_ns=u16.map(lambda n: n * MS),
    site=u16,
    service_class=st.integers(0, 255),
    residents=st.integers(0, 255),
    utilisation=shares,
    missed=u16,
    missed_rate=u16.map(lambda n: n / 16),
    served=shares,
    loading=u16,
    ready_ns=u16.map(lambda n: n * 10 * MS),
    keys=st.lists(u16, max_size=64).map(tuple),
)
micros = u32.map(lambda n: n * 1000)
offers = st.builds(
    Offer,
    number=u32,
    model=u64,
    variant=u64,
    items=st.integers(1, 32),
    left_ns=micros,
    arrive_ns=micros,
    payload_bytes=u16.map(lambda n: n * 1024),
    served=shares,
)
answers = st.builds(
    Answer,
    number=u32,
    verdict=st.integers(1, 4),
    ends_ns=micros,
    cost_ns=u16.map(lambda n: n * 100_000),
    token=st.just(b""),
    digest=digests,
    wait_ns=st.just(0),
) | st.builds(
    Answer,
    number=u32,
    verdict=st.just(ACCEPT),
    ends_ns=micros,
    cost_ns=u16.map(lambda n: n * 100_000),
    token=st.binary(min_size=16, max_size=16),
    digest=digests,
    wait_ns=micros,
)
members = st.builds(
    Member,
    number=u32,
    site=u16,
    address=st.binary(max_size=64),
    keys=st.lists(u16, max_size=8).map(tuple),
)
exchanges = st.builds(
    Exchange,
    reply=st.booleans(),
    wanted=st.lists(u16, max_size=8).map(tuple),
    members=st.lists(members, max_size=8).map(tuple),
)
messages = (
    offers
    | answers
    | exchanges
    | st.builds(Cancel, u32)
    | st.builds(State, digests)
    | st.builds(Watch)
    | st.builds(Unwatch)
)


def a_digest() -> Digest:
    return Digest(7, 1, 250 * MS, 3, 2, 3, 0.4, 0, 0.0, 1.0, 0, 0, (1, 2, 3))


@settings(deadline=None)
@given(messages)
def test_every_message_survives_the_wire(message):
    assert unpack(message.pack()) == message


@settings(deadline=None)
@given(messages)
def test_every_message_fits_one_datagram_without_fragments(message):
    assert len(message.pack()) <= SIZE_MAX


@given(st.binary(max_size=1500))
@settings(max_examples=500, deadline=None)
def test_arbitrary_bytes_raise_a_message_error_and_nothing_else(data):
    with contextlib.suppress(MessageError):
        unpack(data)


@given(st.integers(1, 0x7F), st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_arbitrary_bodies_of_every_kind_raise_a_message_error_and_nothing_else(kind, body):
    with contextlib.suppress(MessageError):
        unpack(bytes((kind, VERSION)) + body)


@settings(deadline=None)
@given(messages, st.data())
def test_a_message_cut_short_is_refused_or_another_whole_one(message, data):
    whole = message.pack()
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        again = unpack(part)
    except MessageError:
        return
    assert again is not None
    assert again.pack() != whole


def test_random_changes_of_bytes_never_raise_anything_but_message_error():
    rng = random.Random(5)
    samples = [
        Offer(1, 2**63, 9, 4, 900 * MS, 30 * MS, 240_000).pack(),
        Answer(1, ACCEPT, 400 * MS, 90 * MS, bytes(16), a_digest()).pack(),
        Exchange(False, (1, 2), (Member(4, 1, b"10.0.0.1:7440", (5, 6)),)).pack(),
        State(a_digest()).pack(),
    ]
    refused = 0
    for _ in range(20_000):
        data = bytearray(rng.choice(samples))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            unpack(bytes(data))
        except MessageError:
            refused += 1
    assert refused > 1000


@settings(deadline=None)
@given(messages, st.binary(max_size=40))
def test_what_a_newer_version_appends_is_ignored(message, more):
    newer = bytearray(message.pack())
    newer[1] = VERSION | 0x0F
    assert unpack(bytes(newer) + more) == message


def test_a_digest_that_grew_inside_an_answer_leaves_its_token_where_it_is():
    answer = Answer(1, ACCEPT, 400 * MS, 90 * MS, bytes(range(16)), a_digest())
    packed = answer.pack()
    digest = pack_digest(answer.digest)
    at = packed.index(digest)
    grown = packed[: at - 1] + bytes((len(digest) + 3,)) + digest + b"new" + packed[-20:]
    assert unpack(grown) == answer


def test_an_acceptance_of_version_1_0_tells_no_wait():
    answer = Answer(1, ACCEPT, 400 * MS, 90 * MS, bytes(range(16)), a_digest(), 96 * MS)
    older = bytearray(answer.pack()[:-4])
    older[1] = 0x10
    assert unpack(bytes(older)) == answer._replace(wait_ns=0)


def test_a_kind_that_only_newer_versions_know_is_ignored():
    assert unpack(bytes((0x60, VERSION, 1, 2, 3))) is None


def test_a_newer_reason_to_refuse_is_a_refusal():
    packed = bytearray(Answer(1, BUSY, 0, 0, b"", a_digest()).pack())
    packed[6] = 99
    assert unpack(bytes(packed)).verdict == BUSY


def test_another_major_version_is_refused_with_both_versions_named():
    with pytest.raises(MessageError, match="version 2; this node speaks 1"):
        unpack(bytes((1, 0x20)) + bytes(40))


@pytest.mark.parametrize("kind", [0x00, 0x80, 0xFF])
def test_kinds_of_other_parts_are_no_business_of_the_balancer(kind):
    with pytest.raises(MessageError, match="not the balancer's"):
        unpack(bytes((kind, VERSION)) + bytes(40))


@pytest.mark.parametrize("items", [0, 33, 255])
def test_an_offer_of_an_impossible_number_of_items_is_refused(items):
    packed = bytearray(Offer(1, 2, 0, 4, 0, 0, 0).pack())
    packed[14] = items
    with pytest.raises(MessageError, match=f"an offer of {items} items"):
        unpack(bytes(packed))


def test_a_digest_is_about_forty_bytes():
    assert len(pack_digest(a_digest()._replace(keys=(1,) * 8))) <= 40


def test_a_digest_names_at_most_64_residents_but_tells_how_many_there_are():
    keys = tuple(range(100, 300))
    told = unpack_digest(pack_digest(a_digest()._replace(residents=200, keys=keys)))
    assert told.keys == keys[:64]
    assert told.residents == 200
    assert not told.complete


def test_numbers_out_of_range_are_clipped_not_wrapped():
    told = unpack_digest(
        pack_digest(a_digest()._replace(backlog_ns=10**15, missed_rate=1e9, residents=1000))
    )
    assert told.backlog_ns == 0xFFFF * MS
    assert told.missed_rate == 0xFFFF / 16
    assert told.residents == 255
