"""Finding nodes on the LAN by multicast DNS. A hint only: whom one meets, certificates decide.

A node announces ``_edgesdk._tcp``; its TXT record says version, node id, the cluster's
fingerprint and the control port, never load, models or secrets. Multicast DNS never notices a
crash, and the library never notices that an address has changed: this watches the addresses, and
starts anew when they do.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgesdk.cluster.certificates import NODE_ID
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.interfaces import addresses_to_use, local_networks, nearest_first

if TYPE_CHECKING:
    from zeroconf import ServiceInfo, Zeroconf

__all__ = ["SERVICE", "Announced", "Discovery", "Found", "browse", "read_txt"]

SERVICE = "_edgesdk._tcp.local."
_SHOWN_DIGITS = 16
_MAX_KNOWN = 2048
_MAX_STRANGERS = 64
_MAX_PENDING = 256
_LOOK_SECONDS = 1.0
_REMIND_LOOKS = 15

_Used = tuple[tuple[str, int], ...]  # addresses, and the numbers of their interfaces

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A node of this cluster, as it says: addresses are those worth trying, best first."""

    node_id: str
    addresses: tuple[str, ...]
    port: int
    version: str


@dataclass(frozen=True, slots=True)
class Announced:
    """What a TXT record says; *cluster* is the first 16 digits of a cluster's fingerprint."""

    cluster: str
    node_id: str
    port: int
    version: str


class Discovery:
    """Announces this node and reports others of its cluster; on threads of its own.

    listen, port: the control plane's; *port* None only browses. found(node): a node was seen, or
    seen again: on any of this object's threads, and repeated every 15 s, since a peer that was lost
    may be back. Callers ignore those that they are linked with.
    """

    def __init__(
        self,
        identity: Identity,
        listen: str,
        port: int | None,
        *,
        found: Callable[[Found], None],
        version: str = "",
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._identity, self._listen, self._port = identity, listen, port
        self._found, self._version, self._look_seconds = found, version, look_seconds
        self._known: dict[str, Found] = {}
        self._strangers: dict[tuple[str, str], Announced] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgesdk-discovery", daemon=True)
        self._session: _Session | None = None

    def start(self) -> None:
        """Begins to announce and to look."""
        self._thread.start()

    def close(self) -> None:
        """Takes the announcement back and ends the threads."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def known(self) -> list[Found]:
        """Every node of this cluster that was seen."""
        with self._lock:
            return list(self._known.values())

    def strangers(self) -> list[Announced]:
        """Nodes of other clusters that were seen, 64 at most: they are ignored otherwise."""
        with self._lock:
            return list(self._strangers.values())

    def _run(self) -> None:
        used: _Used = ()
        looks = 0
        try:
            while True:
                used = self._follow(used)
                looks += 1
                if looks % _REMIND_LOOKS == 0:
                    for node in self.known():
                        self._tell(node)
                if self._end.wait(self._look_seconds):
                    return
        finally:
            self._stop()

    def _follow(self, used: _Used) -> _Used:
        """Starts anew if the machine's addresses are not those *used*; returns those used now."""
        try:
            networks = local_networks()
        except OSError as error:
            _log.warning("discovery cannot read this machine's addresses: %s", error)
            return used
        addresses = addresses_to_use(self._listen, networks)
        numbers = {str(network.ip): number for network, number in networks.items()}
        wanted = tuple((address, numbers.get(address, 0)) for address in addresses)
        if wanted == used:
            return used
        self._stop()
        if not wanted:
            return ()
        try:
            self._session = _Session(self, addresses)
        except Exception as error:
            _log.warning("discovery on %s: %s; seeds work without it", ", ".join(addresses), error)
            return ()
        return wanted

    def _stop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def announcement(self, addresses: tuple[str, ...]) -> ServiceInfo | None:
        """What this node says of itself; None if it only browses."""
        from zeroconf import ServiceInfo

        if self._port is None:
            return None
        identity = self._identity
        # Two clusters of one LAN may use one node id: the instance's name keeps them apart.
        instance = f"{identity.node_id[:54]}-{identity.fingerprint[:8]}"
        return ServiceInfo(
            SERVICE,
            f"{instance}.{SERVICE}",
            port=self._port,
            parsed_addresses=list(addresses),
            properties={
                "v": self._version[:32],
                "id": identity.node_id,
                "cl": identity.fingerprint[:_SHOWN_DIGITS],
                "cp": str(self._port),
            },
        )

    def seen(self, properties: Mapping[bytes, bytes | None], addresses: list[str]) -> None:
        """A service has been resolved; nonsense, strangers and this node itself are ignored."""
        said = read_txt(properties)
        if said is None:
            return
        if said.cluster != self._identity.fingerprint[:_SHOWN_DIGITS]:
            with self._lock:
                if len(self._strangers) < _MAX_STRANGERS:
                    self._strangers[said.cluster, said.node_id] = said
            return
        near = nearest_first(addresses[:16], local_networks())
        if said.node_id == self._identity.node_id or not near:
            return
        node = Found(said.node_id, tuple(near), said.port, said.version)
        with self._lock:
            if said.node_id not in self._known and len(self._known) >= _MAX_KNOWN:
                return
            self._known[said.node_id] = node
        self._tell(node)

    def _tell(self, node: Found) -> None:
        try:
            self._found(node)
        except Exception:
            _log.exception("discovery's listener failed")


class _Session:
    """One run of the library, on one set of addresses."""

    def __init__(self, owner: Discovery, addresses: tuple[str, ...]) -> None:
        from zeroconf import IPVersion, ServiceBrowser, Zeroconf

        self._owner = owner
        # It logs tracebacks of sockets whose address has gone; that is followed here.
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
        self._pending: dict[str, bool] = {}
        self._zeroconf: Zeroconf = Zeroconf(interfaces=list(addresses), ip_version=IPVersion.V4Only)
        try:
            announcement = owner.announcement(addresses)
            if announcement is not None:
                self._spawn(self._announce(announcement))
            self._browser = ServiceBrowser(self._zeroconf, SERVICE, handlers=[self._changed])
        except BaseException:
            self._zeroconf.close()
            raise

    def close(self) -> None:
        try:
            self._zeroconf.close()
        except Exception as error:
            _log.debug("discovery's end: %s", error)

    def _changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: Any) -> None:
        """On the library's event loop. Added and Updated come in pairs: one resolves for both."""
        from zeroconf import ServiceStateChange

        if state_change is ServiceStateChange.Removed:
            return
        if name in self._pending:
            self._pending[name] = True
        elif len(self._pending) < _MAX_PENDING:
            self._pending[name] = False
            self._spawn(self._resolve(name))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        loop = self._zeroconf.loop
        assert loop is not None
        return asyncio.run_coroutine_threadsafe(work, loop)

    async def _announce(self, announcement: ServiceInfo) -> None:
        """Three times within half a second, for which nobody waits. Without the three probes of
        250 ms before: names hold the cluster's fingerprint."""
        try:
            said = await self._zeroconf.async_register_service(
                announcement, cooperating_responders=True
            )
            await said
        except Exception as error:
            _log.warning("this node could not be announced: %s; seeds work without it", error)

    async def _resolve(self, name: str) -> None:
        from zeroconf import IPVersion
        from zeroconf.asyncio import AsyncServiceInfo

        try:
            for _ in range(3):
                self._pending[name] = False
                info = AsyncServiceInfo(SERVICE, name)
                if await info.async_request(self._zeroconf, 3000):
                    self._owner.seen(info.properties, info.parsed_addresses(IPVersion.V4Only))
                if not self._pending[name]:
                    break
        except Exception as error:
            _log.debug("discovery of %r: %s", name[:80], error)
        finally:
            self._pending.pop(name, None)


def read_txt(properties: Mapping[bytes, bytes | None]) -> Announced | None:
    """What a TXT record says; None if that is nonsense."""
    try:
        said = {key: (properties.get(key) or b"").decode() for key in (b"cl", b"id", b"cp", b"v")}
    except UnicodeDecodeError:
        return None
    cluster, node_id, port = said[b"cl"], said[b"id"], said[b"cp"]
    if re.fullmatch(r"[0-9a-f]{16}", cluster) is None or NODE_ID.fullmatch(node_id) is None:
        return None
    if not port.isascii() or not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65536:
        return None
    return Announced(cluster, node_id, int(port), said[b"v"][:32])


def browse(identity: Identity, seconds: float) -> tuple[list[Found], list[Announced]]:
    """The nodes of *identity*'s cluster that answer within *seconds*; and those of others."""
    looking = Discovery(identity, "0.0.0.0", None, found=lambda node: None)  # noqa: S104
    looking.start()
    threading.Event().wait(seconds)
    looking.close()
    return looking.known(), looking.strangers()
