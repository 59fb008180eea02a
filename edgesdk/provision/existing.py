"""The nodes of a cluster, as they are: nothing is started and nothing is given back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgesdk.cluster.administration import administer
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.survey import Surveyor
from edgesdk.errors import EdgeError, ProviderError
from edgesdk.provision.provider import Host

__all__ = ["ExistingNodes"]

Address = tuple[str, int]


class ExistingNodes:
    """Members found from *start*, asked with the operator's identity.

    kind_of: the type of a node by its id; a node of none is left alone. One that falls silent is
    still listed as ready: a single question without an answer says little.
    """

    name = "cluster"
    spends = False
    owns = False

    def __init__(
        self, operator: Identity, start: Sequence[Address], kind_of: Mapping[str, str]
    ) -> None:
        self.operator = operator
        self._kind_of = dict(kind_of)
        self._heard: set[str] = set()
        self._surveyor = Surveyor(
            lambda address, verb, body: administer(operator, address, verb, body),
            operator.fingerprint,
            start,
        )

    def hosts(self) -> Mapping[str, Host]:
        try:
            found = self._surveyor.survey()
        except EdgeError as error:
            raise ProviderError(f"cluster: {error}") from error
        hosts = {}
        for member in found.members:
            kind = self._kind_of.get(member.node)
            if kind is not None:
                hosts[member.node] = Host(member.node, kind, "ready", _address(member.address))
        for silent in found.silent:
            kind = self._kind_of.get(silent.node)
            if kind is None:
                continue
            if silent.node in self._heard:
                hosts[silent.node] = Host(silent.node, kind, "ready", _address(silent.address))
            else:
                hosts[silent.node] = Host(silent.node, kind, "gone", None, silent.reason)
        self._heard |= {member.node for member in found.members}
        return hosts

    def start(self, kind: str) -> str:
        raise ProviderError(
            f"cluster: machines of type {kind} are there or not: none can be started"
        )

    def stop(self, machine: str) -> None:
        """It stays, without work."""

    def close(self, within_s: float = 0.0) -> None:
        """Nothing is owned."""


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
