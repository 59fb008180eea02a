"""Who may even connect to a listening socket: a filter in the kernel, of source addresses.

zenoh's listener pauses for 100 ms after each handshake that fails, so a stranger who knocks 20
times a second keeps every member out. Its socket is this process's own, and a classic BPF filter on
it (socket(7), SO_ATTACH_FILTER; no privilege needed) drops the strangers' first packet. It is no
authentication, which TLS does: whoever has the address of a member gets as far as TLS.
"""

from __future__ import annotations

import ctypes
import ipaddress
import logging
import socket
import struct
from collections.abc import Collection

from edgesdk.cluster.own_sockets import listener_at

__all__ = ["MAX_SOURCES", "SourceFilter"]

log = logging.getLogger(__name__)

MAX_SOURCES = 1024

_SO_ATTACH_FILTER = 26
_LOAD_WORD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_IP_SOURCE = 0xFFF00000 + 12  # SKF_NET_OFF, and where an IPv4 header has the source
_ALL = 0xFFFFFFFF


class SourceFilter:
    """The filter of this process's socket that listens at *address*. Call it from one thread."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def allow(self, sources: Collection[str]) -> bool:
        """From now on only *sources* may connect; connections that are open stay.

        Addresses of IPv6 do not matter, since the socket has to be of IPv4. False, and nothing has
        changed, where it is not, for more than :data:`MAX_SOURCES`, or if the kernel cannot do it.
        """
        numbers = sorted({number for source in sources if (number := _number(source)) is not None})
        listener = listener_at(self._address)
        if listener is None:
            return False
        with listener:
            if listener.family != socket.AF_INET or len(numbers) > MAX_SOURCES:
                return False
            try:
                _attach(listener, numbers)
            except OSError as error:
                log.info("the data plane's port cannot be guarded: %s", error)
                return False
        return True


def _number(source: str) -> int | None:
    address = ipaddress.ip_address(source)
    if isinstance(address, ipaddress.IPv6Address):
        return int(address.ipv4_mapped) if address.ipv4_mapped else None
    return int(address)


def _attach(listener: socket.socket, numbers: Collection[int]) -> None:
    steps = [(_LOAD_WORD, 0, 0, _IP_SOURCE)]
    for number in numbers:
        steps += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALL)]
    steps.append((_RETURN, 0, 0, 0))
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *s) for s in steps))
    fprog = struct.pack("@HP", len(steps), ctypes.addressof(program))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
