"""The UDP socket under the control plane: whole datagrams, and who answered that nobody listens."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from edgesdk.cluster.records import MAX_DATAGRAM
from edgesdk.errors import ClusterError

__all__ = ["DatagramSocket"]

Address = tuple[str, int]

_BUFFER = 2 * MAX_DATAGRAM + 1
_WANTED = 1 << 20
# SO_RCVBUFFORCE and SO_SNDBUFFORCE pass the system's limit, for who may.
_BUFFERS = ((33, socket.SO_RCVBUF), (32, socket.SO_SNDBUF))
_RECVERR = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}


class DatagramSocket:
    """A bound, non-blocking socket. One thread receives; any may send."""

    def __init__(self, listen: Address) -> None:
        family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        self.overhead = 48 if family == socket.AF_INET6 else 28
        """Bytes of IP and UDP headers around each datagram."""
        self.unsent = 0
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(*_RECVERR[family], 1)
            for force, option in _BUFFERS:
                self._enlarge(force, option)
            self._socket.bind(listen)
        except OSError as error:
            self._socket.close()
            raise ClusterError(
                f"cannot listen on UDP {listen[0]}:{listen[1]}: {error.strerror or error}"
            ) from None

    def _enlarge(self, force: int, option: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, force, _WANTED)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, option, _WANTED)

    @property
    def address(self) -> Address:
        """Host and port that it is bound to."""
        name = self._socket.getsockname()
        return name[0], name[1]

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    def send(self, address: Address, datagram: bytes) -> None:
        """Sends, or counts in *unsent* what the machine will not take: datagrams may be lost."""
        # An ICMP answer to an earlier datagram is told here too; it lies in the error queue.
        if not any(self._send_once(address, datagram) for _ in range(3)):
            self.unsent += 1

    def _send_once(self, address: Address, datagram: bytes) -> bool:
        try:
            self._socket.sendto(datagram, address)
        except OSError:
            return False
        return True

    def receive(self, most: int) -> Iterator[tuple[Address, bytes]]:
        """Up to *most* datagrams that wait; one that is too long comes cut, still too long."""
        taken = 0
        for _ in range(2 * most):
            try:
                data, name = self._socket.recvfrom(_BUFFER)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP answer, as above
            yield (name[0], name[1]), data
            taken += 1
            if taken >= most:
                return

    def refused(self) -> list[Address]:
        """Addresses whose machine said that nobody listens there. A hint: ICMP can be forged."""
        found = []
        for _ in range(64):
            try:
                _, control, _, name = self._socket.recvmsg(1, 512, socket.MSG_ERRQUEUE)
            except OSError:
                break
            for _level, _kind, data in control:
                if int.from_bytes(data[:4], "little") == errno.ECONNREFUSED and name:
                    found.append((name[0], name[1]))
        return found

    def close(self) -> None:
        """Closes it; a second time does nothing."""
        with contextlib.suppress(OSError):
            self._socket.close()
