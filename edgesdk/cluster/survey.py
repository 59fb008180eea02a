"""Asks every member of a cluster how it is, starting from a few addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from edgesdk.cluster.status import ClusterStatus, MemberStatus, SilentMember
from edgesdk.errors import EdgeError

__all__ = ["Ask", "Surveyor"]

_AT_ONCE = 32
_MOST_MEMBERS = 4096
_SOON = timedelta(days=30)

Ask = Callable[[tuple[str, int], str, Any], Any]
"""Address, verb and body to the answer; raises EdgeError. Called from several threads."""


@dataclass(slots=True)
class _Known:
    node: str
    number: int
    address: tuple[str, int]


class Surveyor:
    """Finds members by asking members, and remembers those that fell silent.

    ask: see :data:`Ask`. cluster: the fingerprint. start: where to begin. Not thread-safe.
    """

    def __init__(self, ask: Ask, cluster: str, start: Sequence[tuple[str, int]]) -> None:
        self._ask = ask
        self._cluster = cluster
        self._start = list(start)
        self._known: dict[int, _Known] = {}

    def survey(self, now: datetime | None = None) -> ClusterStatus:
        """Every member that can be reached from the start or was reached before, and the silent.

        Raises the EdgeError of the first address where nobody answered at all.
        """
        members: dict[int, MemberStatus] = {}
        silent: dict[int, SilentMember] = {}
        errors: list[EdgeError] = []
        asked: set[tuple[str, int]] = set()
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="survey") as pool:
            waiting: dict[Future[MemberStatus], tuple[tuple[str, int], _Known | None]] = {}

            def ask(address: tuple[str, int], known: _Known | None) -> None:
                if address not in asked and len(asked) < _MOST_MEMBERS:
                    asked.add(address)
                    waiting[pool.submit(self._status, address)] = (address, known)

            # Those known by name first: an address may be both, and silence needs a name.
            for known in list(self._known.values()):
                ask(known.address, known)
            for address in self._start:
                ask(address, None)
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    address, whom = waiting.pop(future)
                    try:
                        member = future.result()
                    except EdgeError as error:
                        errors.append(error)
                        if whom is not None:
                            silent[whom.number] = SilentMember(
                                node=whom.node,
                                number=whom.number,
                                address=_text(address),
                                reason=str(error),
                            )
                        continue
                    members[member.number] = member
                    self._known[member.number] = _Known(member.node, member.number, address)
                    for link in member.links:
                        place = _address(link.address)
                        if place is not None and link.number not in members:
                            ask(place, _Known(link.node, link.number, place))
        if not members and errors:
            raise errors[0]
        for number in members:
            silent.pop(number, None)
        return self._document(members, silent, now or datetime.now(timezone.utc))

    def _status(self, address: tuple[str, int]) -> MemberStatus:
        answer = self._ask(address, "status", {})
        try:
            return msgspec.convert(answer, MemberStatus)
        except msgspec.ValidationError as error:
            raise EdgeError(
                f"{_text(address)} answers what this version cannot read: {error}"
            ) from None

    def _document(
        self,
        members: dict[int, MemberStatus],
        silent: dict[int, SilentMember],
        now: datetime,
    ) -> ClusterStatus:
        found = [members[number] for number in sorted(members)]
        streams = [stream for member in found for stream in member.streams]
        ended = sum(stream.passed - stream.open for stream in streams)
        expiring = [m.node for m in found if _ends(m.certificate_expires) - now < _SOON]
        return ClusterStatus(
            cluster=self._cluster,
            members=found,
            silent=[silent[number] for number in sorted(silent)],
            expiring=expiring,
            goodput=sum(stream.ok for stream in streams) / ended if ended else None,
        )


def _ends(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.max.replace(tzinfo=timezone.utc)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _address(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None


def _text(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
