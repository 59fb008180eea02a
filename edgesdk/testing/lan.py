"""A LAN of network namespaces: one for each host, all at a bridge in a namespace of its own.

Needs root and iproute2; nothing of it touches the machine's own network. Links can be made slow,
and cut so that neither end is told: what crosses a cut link is lost in silence, as behind a broken
switch.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from itertools import count
from types import TracebackType
from typing import Any

__all__ = ["Lan", "lan_possible"]

_PREFIX = "edget"
_NEWNET = 0x40000000
_numbers = count(1)


def lan_possible() -> bool:
    """Whether this user and kernel can make namespaces, bridges and veth pairs."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "tc", "bridge", "nsenter"))):
        return False
    probe = f"{_PREFIX}-{os.getpid()}-p"
    try:
        _run("ip", "netns", "add", probe)
        _run("ip", "-n", probe, "link", "add", "lan", "type", "bridge")
        _run("ip", "-n", probe, "link", "add", "v", "type", "veth", "peer", "name", "w")
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        subprocess.run(["ip", "netns", "del", probe], capture_output=True)
    return True


class Lan:
    """*hosts* namespaces ``10.99.N.1``, ``.2``, ... that reach each other; a context manager.

    rate: megabits a second of each link and direction; None leaves them as fast as memory.
    """

    def __init__(self, hosts: int, *, rate: float | None = None) -> None:
        number = next(_numbers)
        self._name = f"{_PREFIX}-{os.getpid()}-{number}"
        self._net = f"10.99.{number % 250}"
        self.hosts = hosts
        self._rate = rate

    def __enter__(self) -> Lan:
        try:
            _run("ip", "netns", "add", self._switch)
            _run(
                *("ip", "-n", self._switch, "link", "add", "lan", "type", "bridge"),
                *("mcast_snooping", "0", "forward_delay", "0"),
            )
            _run("ip", "-n", self._switch, "addr", "add", f"{self._net}.254/24", "dev", "lan")
            for device in ("lo", "lan"):
                _run("ip", "-n", self._switch, "link", "set", device, "up")
            for host in range(1, self.hosts + 1):
                self._plug(host)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def address(self, host: int) -> str:
        return f"{self._net}.{host}"

    def inside(self, host: int, command: Sequence[str]) -> list[str]:
        """*command* as it runs on *host*: the process that it starts is *command*'s own."""
        return ["nsenter", f"--net=/run/netns/{self._namespace(host)}", *command]

    def call(self, function: Callable[[], Any]) -> Any:
        """*function*'s result, run by a thread that stands at the switch and reaches every host."""
        found: list[Any] = []

        def run() -> None:
            with open(f"/run/netns/{self._switch}") as space:
                if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            try:
                found.append(function())
            except Exception as error:
                found.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    def cut(self, host: int) -> None:
        """From now on nothing reaches *host* and nothing leaves it; no interface goes down."""
        self._port_state(host, "0")

    def mend(self, host: int) -> None:
        self._port_state(host, "3")

    def replug(self, host: int) -> None:
        """*host*'s link is taken out and put in again, faster than anybody looks."""
        _run("ip", "-n", self._switch, "link", "del", f"p{host}")
        self._connect(host)

    def limit(self, host: int, megabits: float) -> None:
        """The rate of *host*'s link, both ways."""
        burst = max(4000, int(megabits * 1e6 / 8 * 0.005))
        shape = ("root", "tbf", "rate", f"{megabits}mbit", "burst", str(burst), "latency", "200ms")
        for space, device in ((self._namespace(host), "eth0"), (self._switch, f"p{host}")):
            _run("tc", "-n", space, "qdisc", "replace", "dev", device, *shape)

    def bytes_through(self, host: int) -> int:
        """Bytes that crossed *host*'s link so far, both ways, Ethernet headers included."""
        files = [f"/sys/class/net/eth0/statistics/{way}_bytes" for way in ("rx", "tx")]
        enter = ["ip", "netns", "exec", self._namespace(host), "cat", *files]
        return sum(map(int, subprocess.check_output(enter, text=True).split()))

    @property
    def _switch(self) -> str:
        return f"{self._name}-sw"

    def _namespace(self, host: int) -> str:
        return f"{self._name}-{host}"

    def _plug(self, host: int) -> None:
        _run("ip", "netns", "add", self._namespace(host))
        self._connect(host)

    def _connect(self, host: int) -> None:
        space = self._namespace(host)
        _run(
            *("ip", "-n", self._switch, "link", "add", f"p{host}", "type", "veth"),
            *("peer", "name", "eth0", "netns", space),
        )
        _run("ip", "-n", self._switch, "link", "set", f"p{host}", "master", "lan", "up")
        _run("ip", "-n", space, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run("ip", "-n", space, "link", "set", device, "up")
        # Multicast goes where the default route goes.
        _run("ip", "-n", space, "route", "add", "default", "dev", "eth0")
        if self._rate is not None:
            self.limit(host, self._rate)

    def _port_state(self, host: int, state: str) -> None:
        _run("bridge", "-n", self._switch, "link", "set", "dev", f"p{host}", "state", state)

    def _remove(self) -> None:
        for space in (*map(self._namespace, range(1, self.hosts + 1)), self._switch):
            with contextlib.suppress(OSError):
                subprocess.run(["ip", "netns", "del", space], capture_output=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
