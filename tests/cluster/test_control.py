"""Datagrams between nodes: who meets whom, what is dropped, what a peer's end looks like."""


def test_two_nodes_meet_and_pass_messages_both_ways(cluster, station):
    one, two = station(cluster.identity(1)), station(cluster.identity(2))
    one.control.reach(*two.address)
    peer = one.wait(lambda: one.joined)[0]
    assert (peer.node_id, peer.site, peer.version) == ("node-2", "hall", "0.1.0")
    assert peer.address == two.address
    assert peer.data_address == (two.address[0], 7441)
    two.wait(lambda: two.joined)
    assert one.control.send(peer.number, b"\x01there")
    assert two.control.send(cluster.identity(1).number, b"\x02back")
    two.wait(lambda: two.said == [("node-1", b"\x01there")])
    one.wait(lambda: one.said == [("node-2", b"\x02back")])


def test_both_may_speak_first_at_once(cluster, station):
    one, two = station(cluster.identity(1)), station(cluster.identity(2))
    for _ in range(3):
        one.control.reach(*two.address)
        two.control.reach(*one.address)
    one.wait(lambda: one.names() == {"node-2"})
    two.wait(lambda: two.names() == {"node-1"})
    assert len(one.joined) == len(two.joined) == 1
    assert one.left == two.left == []


def test_a_node_that_leaves_says_so(cluster, station):
    one, two = station(cluster.identity(1)), station(cluster.identity(2))
    one.control.reach(*two.address)
    one.wait(lambda: one.joined)
    two.control.close()
    one.wait(lambda: one.left == [("node-2", "closed")])
    assert not one.control.send(cluster.identity(2).number, b"\x01")
