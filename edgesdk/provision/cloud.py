"""Rented machines, through apache-libcloud: EC2 and what else it brings.

A machine is told by cloud-init, in its user data, to install edgesdk and to run an agent with a
node bundle: whoever can read its user data can be this node, and no other.
"""

from __future__ import annotations

import inspect
import json
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from edgesdk.cluster.authority import Authority
from edgesdk.errors import ProviderError
from edgesdk.provision.patience import Patience
from edgesdk.provision.provider import Host

__all__ = ["CloudMachines", "cloud_init"]

_PORT = 7440
_LISTED_WITHIN_S = 120.0  # a cloud's list may be behind what it has just made


class CloudMachines:
    """Machines of a libcloud *driver*, told from others by *prefix* in their names.

    kinds: the cloud's size (its id or name) by type. image: the image's id. authority: makes each
    machine its bundle. seeds: members that it knocks at. options: passed to ``create_node``.
    answers: whether an agent is up at an address.
    """

    name = "cloud"
    spends = True
    owns = True

    def __init__(
        self,
        driver: Any,
        *,
        kinds: Mapping[str, str],
        image: str,
        authority: Authority,
        folder: Path,
        seeds: tuple[str, ...] = (),
        prefix: str = "edgesdk",
        options: Mapping[str, Any] | None = None,
        answers: Callable[[tuple[str, int]], bool] = lambda address: True,
    ) -> None:
        self._driver = driver
        self._kinds = dict(kinds)
        self._authority = authority
        self._folder = folder
        self._seeds = seeds
        self._prefix = prefix
        self._options = dict(options or {})
        self._answers = answers
        self._sizes = self._by_name("sizes", driver.list_sizes)
        self._image = self._pick("image", image, self._by_name("images", driver.list_images))
        for size in kinds.values():
            self._pick("size", size, self._sizes)
        self._started: dict[str, tuple[str, float]] = {}  # kind, and when it was asked for
        self._names: dict[
            str, str
        ] = {}  # by the cloud's id, for clouds that name machines themselves
        self._seen: set[str] = set()
        self._ready: set[str] = set()
        self._next = 1
        self._patience = Patience()

    def prices(self) -> dict[str, float]:
        """Dollars an hour by type, as the driver says; those without a price are absent."""
        found = {}
        for kind, size in self._kinds.items():
            price = self._sizes[size].price
            if price:
                found[kind] = float(price)
        return found

    def hosts(self) -> Mapping[str, Host]:
        hosts = {}
        for node in self._call("list_nodes", self._driver.list_nodes):
            name = self._name(node)
            if not name.startswith(f"{self._prefix}-"):
                continue
            kind, _, _ = name.removeprefix(f"{self._prefix}-").rpartition("-")
            if kind not in self._kinds:
                continue
            hosts[name] = self._host(node, name, kind)
        self._seen |= hosts.keys()
        for name, (kind, _) in self._started.items():
            if name in hosts:
                continue
            if self._may_be_listed_yet(name):
                hosts[name] = Host(name, kind, "booting", None)
            else:
                hosts[name] = Host(name, kind, "gone", None, "the cloud does not list it any more")
        return hosts

    def _may_be_listed_yet(self, name: str) -> bool:
        _, asked = self._started.get(name, ("", float("-inf")))
        return name not in self._seen and time.monotonic() - asked < _LISTED_WITHIN_S

    def _name(self, node: Any) -> str:
        return self._names.get(str(node.id), str(node.name))

    def start(self, kind: str) -> str:
        if kind not in self._kinds:
            raise ProviderError(f"cloud: no size for machines of type {kind}")
        if self._patience.waits(kind):
            raise ProviderError(
                f"cloud: no machine of type {kind} was to be had: the next is tried in a while"
            )
        taken = {self._name(node) for node in self._call("list_nodes", self._driver.list_nodes)}
        while (name := f"{self._prefix}-{kind}-{self._next}") in taken or self._elsewhere(name):
            self._next += 1
        node_id = _node_id(name)
        bundle = self._folder / f"{node_id}.bundle"
        if not bundle.exists():
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise ProviderError(f"cloud: {self._folder}: {error.strerror}") from None
            self._authority.add(node_id, out=bundle)
        options = dict(self._options)
        if (word := _word_for_user_data(self._driver)) is not None:
            options[word] = cloud_init(bundle.read_text(), self._seeds)
        try:
            node = self._call(
                "create_node",
                lambda: self._driver.create_node(
                    name=name, size=self._sizes[self._kinds[kind]], image=self._image, **options
                ),
            )
        except ProviderError:
            self._patience.failed(kind)
            raise
        self._patience.succeeded(kind)
        self._next += 1  # where it failed, the next try has the same name and bundle
        self._started[name] = kind, time.monotonic()
        self._names[str(node.id)] = name
        return name

    def _elsewhere(self, name: str) -> bool:
        """Whether a member has this name whose bundle is not here: another manager's."""
        node_id = _node_id(name)
        entries = self._authority.registry.members.get(node_id, [])
        present = any(entry.removed is None for entry in entries)
        return present and not (self._folder / f"{node_id}.bundle").exists()

    def stop(self, machine: str) -> None:
        found = [
            node
            for node in self._call("list_nodes", self._driver.list_nodes)
            if self._name(node) == machine
        ]
        for node in found:
            self._call("destroy_node", partial(self._driver.destroy_node, node))
        if not found and self._may_be_listed_yet(machine):
            raise ProviderError(f"cloud: {machine} is not listed yet, and cannot be given back")
        self._started.pop(machine, None)

    def close(self, within_s: float = 0.0) -> None:
        """Rented machines stay: they are work under way."""

    def _host(self, node: Any, name: str, kind: str) -> Host:
        state = str(node.state).lower()
        if state in ("terminated", "stopped", "error"):
            return Host(name, kind, "gone", None, f"the cloud says it is {state}")
        addresses = [*node.public_ips, *node.private_ips]
        address = (str(addresses[0]), _PORT) if addresses else None
        runs = name not in self._ready and address is not None and state == "running"
        if runs and address is not None and self._answers(address):
            self._ready.add(name)
        ready = name in self._ready
        return Host(name, kind, "ready" if ready else "booting", address)

    def _by_name(self, what: str, listed: Callable[[], Any]) -> dict[str, Any]:
        found = {}
        for one in self._call(what, listed):
            found[str(one.name)] = one
            found[str(one.id)] = one
        return found

    def _pick(self, what: str, wanted: str, known: Mapping[str, Any]) -> Any:
        if wanted not in known:
            names = ", ".join(sorted(known)[:12])
            raise ProviderError(f"cloud: no {what} {wanted!r}; there are {names}")
        return known[wanted]

    def _call(self, what: str, function: Callable[[], Any]) -> Any:
        # Drivers raise whatever their cloud's API and the network give them.
        try:
            return function()
        except Exception as error:
            raise ProviderError(f"cloud: {what}: {error}") from error


def _node_id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)


def _word_for_user_data(driver: Any) -> str | None:
    """What *driver* calls the user data of a new machine; None for libcloud's dummy, whose machines
    run nothing. Raises ProviderError where it takes none: the machine would never be a node."""
    words = inspect.signature(driver.create_node).parameters
    for word in ("ex_userdata", "ex_user_data"):
        if word in words:
            return word
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in words.values()):
        return "ex_userdata"
    if driver.type == "dummy":
        return None
    raise ProviderError(f"cloud: driver {driver.name} takes no user data, by which nodes are made")


def cloud_init(bundle: str, seeds: tuple[str, ...]) -> str:
    """User data that makes a machine a node: edgesdk in a venv, the bundle, a unit.

    JSON is YAML, so the document needs no YAML library and no escaping of the bundle.
    """
    config = (
        'schema = 1\n[node]\nstate = "/var/lib/edgesdk"\ncache = "/var/cache/edgesdk"\n'
        f'[cluster]\nbundle = "/etc/edgesdk/node.bundle"\nlisten = "0.0.0.0:{_PORT}"\n'
        f"seeds = {json.dumps(list(seeds))}\ndiscovery = false\n"
    )
    unit = (
        "[Unit]\nAfter=network-online.target\nWants=network-online.target\n"
        "[Service]\nType=notify\nExecStart=/opt/edgesdk/bin/edgesdk agent "
        "--config /etc/edgesdk/node.toml\nExecReload=kill -HUP $MAINPID\nRestart=always\n"
        "StateDirectory=edgesdk\nCacheDirectory=edgesdk\n[Install]\nWantedBy=multi-user.target\n"
    )
    document = {
        "write_files": [
            {"path": "/etc/edgesdk/node.bundle", "permissions": "0600", "content": bundle},
            {"path": "/etc/edgesdk/node.toml", "permissions": "0600", "content": config},
            {"path": "/etc/systemd/system/edgesdk-agent.service", "content": unit},
        ],
        "runcmd": [
            ["python3", "-m", "venv", "/opt/edgesdk"],
            ["/opt/edgesdk/bin/pip", "install", "edgesdk[cluster,openvino,onnx]"],
            ["systemctl", "enable", "--now", "edgesdk-agent"],
        ],
    }
    return "#cloud-config\n" + json.dumps(document, indent=1) + "\n"


def open_driver(name: str, key: str, secret: str, region: str | None) -> Any:
    """libcloud's compute driver of this name. Raises ProviderError."""
    try:
        from libcloud.compute.providers import get_driver
    except ModuleNotFoundError:
        raise ProviderError("cloud: pip install 'edgesdk[cloud]' brings apache-libcloud") from None
    if not key:
        raise ProviderError("cloud: EDGESDK_CLOUD_KEY (and _SECRET) must hold the cloud's keys")
    try:
        kind = get_driver(name.lower())
        words = {} if region is None else {"region": region}
        return kind(key, secret, **words) if secret else kind(key, **words)
    except Exception as error:
        raise ProviderError(f"cloud: driver {name}: {error}") from error
