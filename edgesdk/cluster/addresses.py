"""Addresses and sites as the configuration writes them, and as the balancer carries them."""

from __future__ import annotations

import ipaddress
import struct
import zlib

__all__ = ["pack_address", "parse_address", "site_number", "unpack_address"]

_IPV4 = struct.Struct("!4sH")


def site_number(site: str) -> int:
    """u16 of a site's name; two sites may share one, and are then taken for near."""
    return zlib.crc32(site.encode()) & 0xFFFF if site else 0


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, an IPv6 host in brackets; the configuration has checked it."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def pack_address(address: tuple[str, int]) -> bytes:
    """What peers are told of a member; empty for IPv6: such members are found by discovery and
    seeds only."""
    try:
        return _IPV4.pack(ipaddress.IPv4Address(address[0]).packed, address[1])
    except ValueError:
        return b""


def unpack_address(data: bytes) -> tuple[str, int] | None:
    """The inverse of :func:`pack_address`; None where it is no address."""
    if len(data) != _IPV4.size:
        return None
    host, port = _IPV4.unpack(data)
    return str(ipaddress.IPv4Address(host)), port
