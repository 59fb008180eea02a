"""Models from peers, over real channels: from holders that lie, break off, or are busy."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk.cluster.administration import Administration, Handler, administer
from edgesdk.cluster.model_exchange import ModelExchange, asking_as
from edgesdk.cluster.model_messages import (
    CHUNK,
    CHUNK_BYTES,
    FIND,
    Chunk,
    ChunkRequest,
    FindRequest,
    HeldFile,
    Manifest,
    pack,
    unpack,
)
from edgesdk.cluster.model_shelf import Allowance
from edgesdk.errors import (
    Cancelled,
    DigestMismatch,
    ModelError,
    ModelNotFound,
    PeerError,
    WireError,
)
from edgesdk.models import ModelRegistry
from edgesdk.models.fingerprint import sha256_of

CARD = """
schema = 1
name = "{name}"
task = "detect"
licence = "MIT"
labels_file = "labels.txt"
[[variants]]
file = "files/{name}.pb"
backend = "openvino"
{pin}
[[inputs]]
shape = [1, 8, 8, 3]
[decode]
kind = "ssd-nms"
"""


def a_model(folder, name="boxes", size=1_500_000, *, pinned=True, seed=0, label="person"):
    """A card, its label file and a TensorFlow graph with one constant of *size* bytes."""
    filler = np.random.default_rng(seed).bytes(size)
    model = folder / "files" / f"{name}.pb"
    model.parent.mkdir(parents=True)
    node = (
        _field(1, b"weights") + _field(2, b"Const") + _field(5, _field(1, b"v") + _field(2, filler))
    )
    model.write_bytes(_field(1, node))
    (folder / "labels.txt").write_text(f"{label}\nHard Hat\n")
    pin = f'sha256 = "{sha256_of(model)}"' if pinned else ""
    card = folder / "card.toml"
    card.write_text(CARD.format(name=name, pin=pin))
    return card


def _field(number, data):
    size, length = len(data), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


@dataclass(frozen=True)
class Holding:
    node_id: str
    address: tuple[str, int]


class Node:
    """A registry of its own behind an administration channel; *change* may bend its answers."""

    def __init__(self, cluster, index, folder):
        self.identity = cluster.identity(index)
        self.registry = ModelRegistry(folder / f"cache-{index}")
        self.busy = threading.Event()
        self.asked = []
        self.change = lambda verb, request, answer: answer
        self.exchange = ModelExchange(
            self.registry,
            asking_as(self.identity),
            busy=self.busy.is_set,
            bytes_per_second=100 << 20,
        )
        handlers = {verb: self._watch(verb, h) for verb, h in self.exchange.handlers().items()}
        self.server = Administration(self.identity, ("127.0.0.1", 0), handlers)
        self.server.start()

    def _watch(self, verb, handler):
        def answer(caller, body):
            self.asked.append((verb, caller.node_id))
            return self.change(verb, body, handler.answer(caller, body))

        return Handler(answer, handler.roles)

    @property
    def chunks(self):
        return sum(verb == CHUNK for verb, _ in self.asked)

    @property
    def here(self):
        return Holding(self.identity.node_id, self.server.address)


@pytest.fixture
def node(cluster, tmp_path):
    with contextlib.ExitStack() as stack:

        def start(index):
            made = Node(cluster, index, tmp_path)
            stack.callback(made.server.close)
            return made

        yield start


@pytest.fixture
def card(tmp_path):
    return a_model(tmp_path / "original")


@pytest.fixture
def holder(node, card):
    made = node(2)
    made.digest = made.registry.add(card).digest
    return made


def left_over(registry):
    peers = registry.cache / "models" / "peers"
    return (
        {p.name for p in peers.iterdir() if not p.name.endswith(".lock")}
        if peers.exists()
        else set()
    )


def test_a_missing_model_comes_from_a_peer_and_is_listed(node, holder):
    here, seen = node(1), []
    got = here.exchange.fetch(
        holder.digest[:16], [holder.here], progress=lambda *told: seen.append(told)
    )
    assert got.digest == holder.digest
    assert got.check_file(got.variants[0]) == holder.registry.resolve("boxes").sha256_of(
        got.variants[0]
    )
    assert dict(got.labels) == {0: "person", 1: "Hard Hat"}
    (entry,) = [e for e in ModelRegistry(here.registry.cache).list() if e.name == "boxes"]
    assert entry.present
    assert [told[0] for told in seen] == ["boxes"] * len(seen)
    assert seen[-1][1] == seen[-1][2] > 1_500_000
    assert [told[1] for told in seen] == sorted(told[1] for told in seen)
    assert left_over(here.registry) == {got.digest}
    assert not os.access(got.file_of(got.variants[0]), os.X_OK) or os.geteuid() == 0
    chunks = holder.chunks
    assert here.exchange.fetch(holder.digest, [holder.here]).path == got.path
    assert holder.chunks == chunks  # what is here is not fetched again


def test_the_command_line_lists_what_came(node, holder):
    here = node(1)
    here.exchange.fetch(holder.digest, [holder.here])
    command = [sys.executable, "-m", "edgesdk.cli.main", "models", "list", "--json", "--cache"]
    done = subprocess.run(
        [*command, str(here.registry.cache)], capture_output=True, text=True, cwd="/", check=True
    )
    (found,) = [m for m in json.loads(done.stdout)["models"] if m["name"] == "boxes"]
    assert found["present"]


def test_a_model_is_found_by_the_digest_of_a_variant_too(node, holder, card):
    here = node(1)
    got = here.exchange.fetch(sha256_of(card.parent / "files" / "boxes.pb"), [holder.here])
    assert got.digest == holder.digest


def test_a_model_whose_card_pins_nothing_is_checked_by_its_digest(node, tmp_path):
    holder, here = node(2), node(1)
    digest = holder.registry.add(a_model(tmp_path / "loose", pinned=False)).digest
    assert here.exchange.fetch(digest, [holder.here]).digest == digest


def test_a_holder_that_breaks_off_is_followed_by_another(node, holder, card):
    other, here = node(3), node(1)
    other.registry.add(card)

    def break_off(verb, request, answer):
        if verb == CHUNK and holder.chunks > 1:
            holder.server.close()
            raise ModelError("gone in the middle")
        return answer

    holder.change = break_off
    got = here.exchange.fetch(holder.digest, [holder.here, other.here])
    assert got.digest == holder.digest
    assert holder.chunks >= 2
    assert 0 < other.chunks < 5  # of five chunks, what was there counted


def test_what_came_before_a_failure_is_not_fetched_again(node, holder):
    here = node(1)

    def refuse_late(verb, request, answer):
        if verb == CHUNK and unpack(request, ChunkRequest).offset >= 2 * CHUNK_BYTES:
            raise ModelError("no more today")
        return answer

    holder.change = refuse_late
    with pytest.raises(ModelNotFound, match="no more today"):
        here.exchange.fetch(holder.digest, [holder.here])
    assert [e for e in here.registry.list() if e.name == "boxes"] == []
    holder.change = lambda verb, request, answer: answer
    before = holder.chunks
    here.exchange.fetch(holder.digest, [holder.here])
    assert holder.chunks == before + 1


def test_bytes_that_were_changed_are_found_and_fetched_from_another(node, holder, card):
    here, other = node(1), node(3)
    other.registry.add(card)

    def flip(verb, request, answer):
        if verb != CHUNK or len(answer) < CHUNK_BYTES:
            return answer
        return answer[:1000] + bytes([answer[1000] ^ 1]) + answer[1001:]

    holder.change = flip
    got = here.exchange.fetch(holder.digest, [holder.here, other.here])
    assert got.check_file(got.variants[0])
    alone = node(4)
    with pytest.raises(ModelNotFound, match="other bytes"):
        alone.exchange.fetch(holder.digest, [holder.here])
    assert [e.name for e in alone.registry.list() if e.origin == "added"] == []


def test_a_card_that_is_another_is_refused(node, holder, tmp_path):
    here, liar, mute = node(1), node(3), node(4)
    other = liar.registry.add(a_model(tmp_path / "other", seed=9, label="cat"))

    def claim(verb, request, answer):
        if verb == FIND:
            found = liar.exchange._shelf.find(pack(FindRequest(1, other.digest)))
            return pack(msgspec.structs.replace(unpack(found, Manifest), digest=holder.digest))
        return answer

    liar.change = claim
    with pytest.raises(DigestMismatch, match="was asked for"):
        here.exchange.fetch(holder.digest, [liar.here, mute.here])
    assert liar.chunks == 1  # its labels; the model itself was not even asked for
    got = here.exchange.fetch(holder.digest, [liar.here, holder.here])
    assert got.digest == holder.digest


@pytest.mark.parametrize("path", ["../evil.txt", "/etc/passwd", "more/evil.pb", "evil.py"])
def test_files_that_the_card_does_not_name_are_refused(node, holder, path):
    here = node(1)

    def add(verb, request, answer):
        if verb != FIND:
            return answer
        found = unpack(answer, Manifest)
        extra = HeldFile(path, 10, "0" * 64)
        return pack(msgspec.structs.replace(found, files=(*found.files, extra)))

    holder.change = add
    with pytest.raises(ModelError, match="not a file of its card"):
        here.exchange.fetch(holder.digest, [holder.here])
    assert holder.chunks == 0


def test_code_is_neither_given_nor_taken(node, tmp_path):
    holder, here = node(2), node(1)
    card = a_model(tmp_path / "pickled")
    pickled = card.parent / "files" / "boxes.pt"
    (card.parent / "files" / "boxes.pb").rename(pickled)
    card.write_text(card.read_text().replace("boxes.pb", "boxes.pt"))
    index = holder.registry.cache / "models" / "added.json"
    index.parent.mkdir(parents=True)
    index.write_text(json.dumps({"schema": 1, "cards": {"boxes": str(card)}}))
    digest = holder.registry.resolve("boxes").digest
    with pytest.raises(ModelNotFound, match="does not hold it"):
        here.exchange.fetch(digest, [holder.here])
    file = HeldFile("files/boxes.pt", pickled.stat().st_size, sha256_of(pickled))
    labels = HeldFile("labels.txt", 16, sha256_of(card.parent / "labels.txt"))
    forced = Manifest(1, digest, "toml", card.read_bytes(), (file, labels))
    holder.change = lambda verb, request, answer: pack(forced)
    with pytest.raises(ModelError, match="not taken from a peer"):
        here.exchange.fetch(digest, [holder.here])


def test_a_model_of_the_same_name_is_not_replaced(node, holder, tmp_path):
    here = node(1)
    mine = here.registry.add(a_model(tmp_path / "mine", seed=5, label="dog"))
    with pytest.raises(ModelError, match="another model here is called 'boxes'"):
        here.exchange.fetch(holder.digest, [holder.here])
    assert here.registry.resolve("boxes").digest == mine.digest


def test_a_card_that_is_here_without_its_file_is_filled(node, holder, tmp_path, card):
    here = node(1)
    copy = a_model(tmp_path / "copy")
    assert copy.read_bytes() == card.read_bytes()
    mine = here.registry.add(copy)
    model = mine.file_of(mine.variants[0])
    model.unlink()
    got = here.exchange.fetch(holder.digest, [holder.here])
    assert got.path == copy
    assert sha256_of(model) == got.variants[0].sha256
    assert left_over(here.registry) == set()


@pytest.mark.parametrize("whose", ["holder", "own"])
def test_live_work_goes_first_on_either_side(node, holder, whose):
    here = node(1)
    (holder if whose == "holder" else here).busy.set()
    got = []
    thread = threading.Thread(
        target=lambda: got.append(here.exchange.fetch(holder.digest, [holder.here]))
    )
    thread.start()
    thread.join(0.5)  # it must not come to its end while the work goes on
    assert thread.is_alive()
    stage = here.registry.cache / "models" / "peers" / f".{holder.digest}"
    assert sum(p.stat().st_size for p in stage.glob("*.partial")) == 0
    assert holder.chunks < 10  # it is not asked again and again meanwhile
    (holder if whose == "holder" else here).busy.clear()
    thread.join(10)
    assert got[0].digest == holder.digest


def test_a_transfer_can_be_cancelled(node, holder):
    here, cancel = node(1), threading.Event()

    def stop(name, done, total):
        if done >= CHUNK_BYTES:
            cancel.set()

    with pytest.raises(Cancelled):
        here.exchange.fetch(holder.digest, [holder.here], progress=stop, cancel=cancel)
    assert holder.chunks <= 3
    assert not [e for e in here.registry.list() if e.name == "boxes"]


def test_nobody_to_ask_and_nobody_who_has_it_are_told(node, holder, tmp_path):
    here, other = node(1), node(3)
    with pytest.raises(ModelNotFound, match="no node is known to hold it"):
        here.exchange.fetch("0" * 16, [])
    gone = Holding("node-9", ("127.0.0.1", 1))
    with pytest.raises(ModelNotFound, match=r"node-9.*node-3 does not hold it"):
        here.exchange.fetch(holder.digest, [gone, other.here])
    impostor = Holding("node-9", holder.here.address)
    with pytest.raises(ModelNotFound, match="node-2 answers, not node-9"):
        here.exchange.fetch(holder.digest, [impostor])


def test_a_removed_node_gets_nothing(cluster, node, holder):
    here = node(1)
    cluster.authority.remove("node-1")
    holder.identity.revocations.offer(cluster.authority.revoked_der)
    with pytest.raises(ModelNotFound):
        here.exchange.fetch(holder.digest, [holder.here])
    assert holder.asked == []
    with pytest.raises(PeerError) as raised:
        administer(here.identity, holder.here.address, FIND, pack(FindRequest(1, "0" * 16)))
    assert raised.value.cause == "removed"


def test_two_at_once_fetch_it_once(node, holder):
    here, got = node(1), []
    threads = [
        threading.Thread(
            target=lambda: got.append(here.exchange.fetch(holder.digest, [holder.here]))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [card.digest for card in got] == [holder.digest] * 3
    assert holder.chunks < 10


def test_an_allowance_is_kept_over_any_time():
    allowance, now, taken = Allowance(1000), 0, 0
    for _ in range(5000):
        wait_ms = allowance.take(100, now)
        taken += 0 if wait_ms else 100
        now += wait_ms * 1_000_000 or 1000
    assert taken <= 1000 + 1000 * now / 1e9
    assert taken >= 1000 * now / 1e9 * 0.95
    assert Allowance(10).take(1_000_000, 0) == 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_about_models_are_a_message_or_refused(data):
    for kind in (FindRequest, Manifest, ChunkRequest, Chunk):
        with contextlib.suppress(WireError):
            assert isinstance(unpack(data, kind), kind)


def test_messages_of_the_wrong_kind_are_refused(node, holder):
    here = node(1)
    for verb, body in ((FIND, b"x"), (FIND, 7), (CHUNK, b"\x93\x01\xa0\x00"), (CHUNK, {"a": 1})):
        with pytest.raises(PeerError):
            administer(here.identity, holder.here.address, verb, body)
    too_long = pack(ChunkRequest(1, "0" * 64, 0, CHUNK_BYTES + 1))
    with pytest.raises(PeerError):
        administer(here.identity, holder.here.address, CHUNK, too_long)
    assert unpack(pack(FindRequest(1, "ab" * 8)), FindRequest).reference == "ab" * 8
    newer = msgspec.msgpack.encode([1, "ab" * 8, "a field of tomorrow"])
    assert unpack(newer, FindRequest).reference == "ab" * 8
