"""Links in virtual time against what their rates say."""

from edgesdk.sim.engine import Engine
from edgesdk.sim.network import Network
from edgesdk.sim.parameters import Parameters

MB = 1_000_000


class Wire:
    """Nodes of two regions of two, and when what was sent arrived."""

    def __init__(self, **parameters: float) -> None:
        self.engine = Engine()
        self.network = Network(
            self.engine, Parameters(nodes=4, region=2, **parameters), [0, 0, 1, 1]
        )
        self.arrived: dict[object, float] = {}

    def send(self, source: int, target: int, name: object, size: int = MB):
        return self.network.send(source, target, size, self._arrive, name)

    def _arrive(self, name: object) -> None:
        self.arrived[name] = self.engine.now / 1e6

    def run(self) -> dict[object, float]:
        self.engine.run(10**12)
        return self.arrived


def test_a_transfer_alone_takes_its_size_over_the_rate_and_the_latency() -> None:
    wire = Wire(nic_mbps=100, latency_ms=3)
    wire.send(0, 1, "a")
    assert wire.run() == {"a": 83}


def test_transfers_of_one_node_follow_each_other_at_its_rate() -> None:
    wire = Wire(nic_mbps=100, latency_ms=1)
    for name in range(5):
        wire.send(0, 1 + name % 3, name)
    assert wire.run() == {name: 81 + 80 * name for name in range(5)}


def test_senders_to_one_node_share_its_rate() -> None:
    wire = Wire(nic_mbps=100, latency_ms=1)
    for source in (0, 1, 2):
        wire.send(source, 3, source)
    assert sorted(wire.run().values()) == [81, 161, 241]


def test_the_narrowest_link_sets_the_pace() -> None:
    wire = Wire(nic_mbps=100, latency_ms=0, uplink_mbps=20)
    wire.send(0, 2, "far")
    wire.send(1, 3, "behind")
    wire.send(0, 1, "near")
    arrived = wire.run()
    assert arrived["far"] == 400
    assert arrived["behind"] == 800
    assert arrived["near"] == 160  # behind "far" on its own NIC only


def test_a_cell_carries_what_its_nodes_send_and_receive() -> None:
    wire = Wire(radio_mbps=80, latency_ms=0)
    wire.send(0, 2, "out of the cell")
    wire.send(2, 1, "into the cell")
    arrived = wire.run()
    assert max(arrived.values()) == 200  # 2 MB through each cell at 10 MB/s
    wire = Wire(radio_mbps=80, latency_ms=0)
    wire.send(0, 1, "inside")
    assert wire.run() == {"inside": 200}  # the access point repeats it


def test_what_has_not_begun_can_be_cancelled_and_leaves_its_place_to_the_next() -> None:
    wire = Wire(nic_mbps=100, latency_ms=0)
    first, second, _ = (wire.send(0, 1, name) for name in ("first", "second", "third"))
    wire.engine.run(1_000_000)
    assert not first.cancel()
    assert second.cancel()
    assert not second.cancel()
    assert wire.network.out[0].waiting_ns(wire.engine.now) == 79_000_000 + 80_000_000
    assert wire.run() == {"first": 80, "third": 160}


def test_a_datagram_overtakes_frames_unless_queues_are_unfair() -> None:
    for behind, expected in ((False, 2), (True, 81)):
        wire = Wire(nic_mbps=100, latency_ms=1, behind_data=behind)
        wire.send(0, 1, "frames")
        wire.network.message(0, 1, 100, wire._arrive, "datagram")
        assert round(wire.run()["datagram"]) in (expected, expected - 1)


def test_a_saturated_link_carries_exactly_its_rate() -> None:
    wire = Wire(nic_mbps=10, latency_ms=1)
    for name in range(200):
        wire.send(0, 1 + name % 3, name, size=60_000)
    wire.run()
    assert max(wire.arrived.values()) == 200 * 48 + 1
    assert wire.network.out[0].busy_ns == 200 * 48_000_000
