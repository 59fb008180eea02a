"""What a service manager is told: systemd's notification protocol, which is a datagram."""

from __future__ import annotations

import os
import socket
import time

__all__ = ["ServiceManager"]


class ServiceManager:
    """Tells who started this process, if he wants to be told (``NOTIFY_SOCKET``); never raises."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._next = 0.0
        self.watchdog_s = self._watchdog()

    def ready(self) -> None:
        """Started, or reloaded."""
        self._tell("READY=1")

    def reloading(self) -> None:
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def says(self, status: str) -> None:
        """One line for people, in ``systemctl status``."""
        self._tell(f"STATUS={' '.join(status.split())[:500]}")

    def alive(self) -> None:
        """Call it more often than every ``watchdog_s`` while all is well."""
        now = time.monotonic()
        if self.watchdog_s and now >= self._next:
            self._next = now + self.watchdog_s / 3
            self._tell("WATCHDOG=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(0.2)
                out.sendto(state.encode(), address)
        except OSError:
            self._address = ""

    @staticmethod
    def _watchdog() -> float:
        """Seconds after which silence is taken for a hang; 0 where nobody watches."""
        if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return 0.0
        text = os.environ.get("WATCHDOG_USEC", "")
        return int(text) / 1e6 if text.isdigit() else 0.0
