"""The machine's IPv4 addresses, for discovery: which to announce, and which of a peer's to try."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

__all__ = ["addresses_to_use", "local_networks", "nearest_first"]

Network = ipaddress.IPv4Interface


def local_networks() -> dict[Network, int]:
    """Every IPv4 address of this machine with its prefix, loopback included, and the number of its
    interface: one that was unplugged and is back has another. Some 0.3 ms."""
    import ifaddr

    found = {}
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if ip.is_IPv4 and isinstance(ip.ip, str):
                try:
                    found[Network(f"{ip.ip}/{ip.network_prefix}")] = adapter.index or 0
                except ValueError:
                    continue
    return found


def addresses_to_use(listen: str, networks: Iterable[Network]) -> tuple[str, ...]:
    """The addresses to announce and to hear on, for a node that listens at *listen*.

    All but loopback for 0.0.0.0; loopback where there is nothing else; else *listen* itself, while
    the machine has it. Sorted, so that equal sets are equal.
    """
    found = {str(network.ip): network for network in networks}
    if listen != "0.0.0.0":  # noqa: S104
        return (listen,) if listen in found else ()
    outside = sorted(a for a, n in found.items() if not n.is_loopback)
    return tuple(outside) or tuple(sorted(found))


def nearest_first(addresses: Sequence[str], networks: Iterable[Network]) -> list[str]:
    """Those of the IPv4 *addresses* in one network with this machine, or all if none is."""
    mine = [network.network for network in networks]
    near = [a for a in addresses if any(ipaddress.IPv4Address(a) in net for net in mine)]
    return near or list(addresses)
