"""The data plane: frame groups to peers and their results back, over zenoh with mutual TLS.

What it promises: each call ends once, by the caller's time left at the latest; a peer that does not
answer costs only calls to that peer; what others send is bounded before it is kept. Who may send
what is decided above: the token of an accepted offer is presented with each group.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from edgesdk.cluster.alarms import Alarms
from edgesdk.cluster.deliveries import Delivery, Failure, Reply
from edgesdk.cluster.delivering import Addressee, Deliverer
from edgesdk.cluster.doorkeeper import Doorkeeper
from edgesdk.cluster.groups import GroupHeader, Picture
from edgesdk.cluster.receiving import Arrival, Receiver
from edgesdk.cluster.source_filter import SourceFilter
from edgesdk.errors import EdgeError

if TYPE_CHECKING:
    from edgesdk.cluster.identity import Identity

__all__ = [
    "Addressee",
    "Arrival",
    "DataPlane",
    "Delivery",
    "Failure",
    "GroupHeader",
    "Picture",
    "Reply",
]


class DataPlane:
    """Both sides of a node's data plane. Thread-safe.

    identity: what the node shows, and whom it trusts. listen: host and port; port 0 takes a free
    one, see :attr:`address`. arrived: called for each group that comes, from one of *workers*
    threads of the data plane; it may take the time that decoding pictures takes, while further
    groups wait or, beyond 8 MB, are refused as ``busy``. An arrival that it neither answers nor
    keeps ends at its deadline. known: asked on zenoh's thread whether an origin (its number) was
    given a token, so that what nobody asked for is not even queued; it must be quick, and must not
    call the data plane. source: the host that sessions to peers come from, default *listen*'s: they
    :meth:`admit` the one that the control plane uses. member: whether a node of that id is one now;
    sessions of others end after two seconds. greedy: told, with its node id, of each session that a
    peer opened beyond four; its oldest is closed.

    Raises EdgeError for a host that has no address.
    """

    def __init__(
        self,
        identity: Identity,
        listen: tuple[str, int],
        *,
        arrived: Callable[[Arrival], None],
        known: Callable[[int, bytes], bool] | None = None,
        workers: int = 1,
        source: str | None = None,
        member: Callable[[str], bool] = lambda node_id: True,
        greedy: Callable[[str], object] = lambda node_id: None,
    ) -> None:
        host, port = _numeric(listen[0]), listen[1]
        self.address: tuple[str, int] = (host, port or _free_port(host))
        self._admitting = threading.Lock()
        self._filter = SourceFilter(self.address)
        self._alarms = Alarms("data-alarms")
        self._member, self._greedy = member, greedy
        self._doors: Doorkeeper | None = None
        self._receiver = Receiver(
            identity, self.address, self._alarms, arrived=arrived, known=known, workers=workers
        )
        source = _numeric(source or host)
        if ipaddress.ip_address(source).is_unspecified:
            source = None
        self._deliverer = Deliverer(identity, self._alarms, source)

    def start(self) -> None:
        """Listens. :raises EdgeError: the address is taken, or is not this machine's."""
        self._alarms.start()
        try:
            listener = self._receiver.start()
            self._doors = Doorkeeper(
                listener,
                self.address[1],
                self._alarms,
                member=self._member,
                greedy=self._greedy,
            )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends every call as ``closed``, in at most some seconds. Idempotent.

        The interpreter does not end while a zenoh session is open: what was not closed by then is
        closed when the main thread ends.
        """
        if self._doors is not None:
            self._doors.close()
        self._receiver.close()
        self._deliverer.close()
        self._alarms.close()

    def deliver(
        self,
        peer: Addressee,
        token: bytes,
        header: GroupHeader,
        parts: Sequence[bytes],
        *,
        time_left_ns: int,
        done: Callable[[Reply | Failure], None],
    ) -> Delivery:
        """Sends a group to *peer*, which accepted it with *token* (16 bytes). Never blocks.

        parts: one a picture, as long as *header* says. done: called exactly once, within
        *time_left_ns*, from a thread of the data plane and never from inside this call; it must
        not block. A failure whose *sent* is true may have been run by the peer all the same.

        :raises ValueError: token, header and parts do not fit together.
        """
        return self._deliverer.deliver(
            peer, token, header, parts, time_left_ns=time_left_ns, done=done
        )

    def prepare(self, peer: Addressee) -> None:
        """Opens a session with *peer* soon, so that the first group need not wait for it. Cheap
        where there is one; does nothing where 16 are open. Never blocks."""
        self._deliverer.prepare(peer)

    def admit(self, sources: Collection[str]) -> bool:
        """From now on only these addresses may connect; before the first call all may.

        Members' addresses, as the control plane authenticated them: it keeps out strangers, whose
        failing handshakes would keep members waiting. False where that cannot be done (IPv6).
        """
        with self._admitting:
            return self._filter.allow(sources)

    def forget(self, node_id: str) -> None:
        """Closes the session with a peer that left or was removed; a later call opens another."""
        self._deliverer.forget(node_id)

    def dismiss(self, node_id: str) -> None:
        """It was removed: the sessions that it has opened end now, too."""
        self._deliverer.forget(node_id)
        if self._doors is not None:
            self._doors.dismiss(node_id)

    def counters(self) -> Mapping[str, int]:
        """Counts since the start: ``in:...`` of groups received, ``out:...`` of groups sent."""
        received = {f"in:{k}": n for k, n in self._receiver.counters().items()}
        return received | {f"out:{k}": n for k, n in self._deliverer.counters().items()}

    def doors(self) -> Mapping[str, int]:
        """Sessions of peers that are ``open``, and that were ended here: ``excess`` of one peer,
        ``dismissed``, ``unknown`` (of no member)."""
        return {} if self._doors is None else self._doors.counters()

    def held(self) -> tuple[int, int]:
        """Groups of others that have not ended here, and their bytes."""
        return self._receiver.held()

    def sessions(self) -> Sequence[str]:
        """Node ids of the peers in use, least recently used first."""
        return self._deliverer.sessions()


def _numeric(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise EdgeError(f"no address is known for {host!r}: {error.strerror}") from None


def _free_port(host: str) -> int:
    """zenoh listens on a port that it is told, and does not tell one that it was given."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
