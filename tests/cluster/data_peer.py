"""A peer in a process of its own: answers groups as the first byte of their payload says.

usage: data_peer.py BUNDLE [PORT]; prints its port, then a line for each group, and on ``count`` its
counters, held groups and memory as JSON. ``slow`` groups keep it busy, ``keep`` are not answered.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import psutil

from edgesdk.cluster.data import Arrival, DataPlane
from edgesdk.cluster.identity import Identity

ECHO, KEEP, SLOW, CRASH = b"e", b"k", b"s", b"x"


_saying = threading.Lock()


def say(*words: object) -> None:
    with _saying:  # several threads speak
        print(*words, flush=True)


class Peer:
    def __init__(self) -> None:
        self.kept: list[Arrival] = []

    def arrived(self, arrival: Arrival) -> None:
        what = bytes(arrival.parts[0][:1])
        number = arrival.header.group
        say("group", number, arrival.origin, arrival.time_left_ns // 1_000_000)
        if what == KEEP:
            arrival.when_cancelled(lambda: say("cancelled", number))
            self.kept.append(arrival)
        elif what == SLOW:
            time.sleep(0.2)  # the work itself, not a wait
            arrival.reply(b"slow")
        elif what == CRASH:
            raise RuntimeError("a bug in whoever takes groups")
        else:
            arrival.reply(b"".join(bytes(part) for part in arrival.parts), b"made here")


def main() -> None:
    identity = Identity.load(sys.argv[1])
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    peer = Peer()
    plane = DataPlane(
        identity,
        ("127.0.0.1", port),
        arrived=peer.arrived,
        known=lambda origin, token: not token.startswith(b"unknown"),
    )
    plane.start()
    say("port", plane.address[1])
    for line in sys.stdin:
        if line.strip() == "count":
            memory = psutil.Process().memory_info().rss
            say(json.dumps({"counts": plane.counters(), "held": plane.held(), "rss": memory}))
        elif line.strip() == "open":  # leaves by the end of main, without closing
            return
    plane.close()


if __name__ == "__main__":
    main()
