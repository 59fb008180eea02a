"""Agents as processes of this machine: for tests, and sites of one box."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgesdk.cluster.administration import administer
from edgesdk.cluster.authority import Authority
from edgesdk.cluster.identity import Identity
from edgesdk.errors import EdgeError, ProviderError
from edgesdk.provision.patience import Patience
from edgesdk.provision.provider import Host

__all__ = ["LocalProcesses"]

# Its standard input ends with the process that started it, however that ends: nobody is orphaned.
_START = (
    "import os, sys, threading; sys.path = [p for p in sys.path if p];"
    "threading.Thread(target=lambda: (os.read(0, 1), os.kill(os.getpid(), 15)),"
    " daemon=True).start();"
    "sys.argv = ['edgesdk', 'agent', *sys.argv[1:]];"
    "from edgesdk.cli.entry import main; main()"
)
_END_S = 1.6
_LOG_TAIL = 2000


class LocalProcesses:
    """Agents in folders below *folder*, in a cluster made for the occasion, on loopback.

    They end with this process, by :meth:`close` or however it ends. limits: how many of each type
    at most. patience: with types whose agents end as they start.
    """

    name = "local"
    spends = False
    owns = True

    def __init__(
        self,
        folder: Path,
        limits: Mapping[str, int | None],
        *,
        patience: Patience | None = None,
    ) -> None:
        self._folder = folder
        self._limits = dict(limits)
        authority = folder / "cluster"
        self._authority = (
            Authority(authority) if authority.exists() else Authority.create(authority, "local")
        )
        self.operator = Identity.load(self._authority.operator_bundle)
        self._hosts: dict[str, Host] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._patience = patience or Patience()
        self._next = 1 + max((int(f.name[2:]) for f in folder.glob("n-[0-9]*")), default=0)

    def hosts(self) -> Mapping[str, Host]:
        for name, host in self._hosts.items():
            process = self._processes.get(name)
            if process is not None and process.poll() is not None and host.state != "gone":
                reason = f"its process ended with code {process.returncode}{self._last_words(name)}"
                if host.state == "booting":
                    self._patience.failed(host.kind)
                self._hosts[name] = Host(name, host.kind, "gone", None, reason)
            elif host.state == "booting" and self._answers(host):
                self._patience.succeeded(host.kind)
                self._hosts[name] = Host(name, host.kind, "ready", host.address)
        return dict(self._hosts)

    def start(self, kind: str) -> str:
        running = sum(1 for h in self._hosts.values() if h.kind == kind and h.state != "gone")
        limit = self._limits.get(kind)
        if limit is not None and running >= limit:
            raise ProviderError(
                f"local: there are {running} machines of type {kind}: no more may be"
            )
        if self._patience.waits(kind):
            raise ProviderError(
                f"local: agents of type {kind} end before they answer: the next is tried in a while"
            )
        name = f"n-{self._next}"
        self._next += 1
        folder = self._folder / name
        folder.mkdir(parents=True)
        port = _free_port()
        self._authority.add(name, out=folder / "node.bundle")
        (folder / "node.toml").write_text(
            f'schema = 1\n[node]\nname = "{name}"\nstate = "state"\n'
            f'[cluster]\nbundle = "node.bundle"\nlisten = "127.0.0.1:{port}"\n'
            f"seeds = [{', '.join(self._seeds())}]\ndiscovery = false\n"
        )
        with (folder / "log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [
                    *(sys.executable, "-c", _START),
                    *(
                        "--config",
                        str(folder / "node.toml"),
                        "--out",
                        str(folder / "results.jsonl"),
                    ),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self._hosts[name] = Host(name, kind, "booting", ("127.0.0.1", port))
        return name

    def _last_words(self, name: str) -> str:
        """What the agent said last, if it ended by itself."""
        if self._processes[name].returncode <= 0:
            return ""
        with contextlib.suppress(OSError), (self._folder / name / "log").open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - _LOG_TAIL))
            if lines := log.read().decode(errors="replace").split("\n"):
                last = next((line for line in reversed(lines) if line.strip()), "")
                return f": {last.strip()[:300]}" if last else ""
        return ""

    def stop(self, machine: str) -> None:
        process = self._processes.pop(machine, None)
        self._hosts.pop(machine, None)
        if process is None:
            return
        process.terminate()
        _see_off(process, time.monotonic() + _END_S)

    def close(self, within_s: float = _END_S) -> None:
        """Ends the agents, and within so many seconds those that do not end by themselves."""
        due = time.monotonic() + within_s
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            _see_off(process, due)
        self._processes.clear()
        self._hosts.clear()

    def pid(self, machine: str) -> int:
        return self._processes[machine].pid

    def _seeds(self) -> list[str]:
        known = [h.address for h in self._hosts.values() if h.state != "gone" and h.address]
        return [f'"{host}:{port}"' for host, port in known[:3]]

    def _answers(self, host: Host) -> bool:
        assert host.address is not None
        try:
            answer: Any = administer(self.operator, host.address, "who", {}, timeout=2.0)
        except EdgeError:
            return False
        return bool(answer)


def _see_off(process: subprocess.Popen[bytes], due: float) -> None:
    # Its standard input stays open: its end would be a second signal, which ends an agent at once.
    try:
        process.wait(max(0.0, due - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _free_port() -> int:
    """A port that nobody has now, nor the one after it."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", port + 1))
                return port
