"""Runs a node in the foreground: start-up, a live table, the end, and the words about it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edgesdk.cli.background import in_background
from edgesdk.cli.interrupts import interrupts
from edgesdk.cli.tables import Rates, render

if TYPE_CHECKING:
    from edgesdk.runtime import Node

__all__ = ["Teller", "foreground", "run_until_done", "telling"]

_REFRESH_S = 0.25

Teller = Callable[[str, "float | None"], None]

console = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def run_until_done(node: Node, *, duration: float | None, quiet: bool) -> None:
    """Starts *node*, waits for its end, *duration* seconds or a signal, and stops it.

    Shows a table on standard error while it runs, where that is a terminal and *quiet* is false.
    """
    with telling(quiet) as tell:
        started = in_background(lambda: node.start(tell, interrupts.asked))
    try:
        if started:
            foreground(node, duration=duration, quiet=quiet)
    finally:
        if not interrupts.left_behind:
            node.stop()


def foreground(node: Node, *, duration: float | None, quiet: bool) -> None:
    """Shows a started *node* until it ends, *duration* seconds have passed, or a signal came."""
    with ExitStack() as stack:
        web = node.config.web.listen
        if web:
            from edgesdk.web import WebServer

            server = WebServer(node, web)
            server.start()
            stack.callback(server.close)
            console.print(f"metrics, health and previews: {server.url}")
        rates = Rates()
        live: Live | None = None
        if not quiet and console.is_terminal:
            # The table tells what cameras do; lines of a log would tear it.
            logging.getLogger("edgesdk.capture").setLevel(logging.ERROR)
            live = stack.enter_context(
                Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
            )
        end = None if duration is None else time.monotonic() + duration
        while not interrupts.asked.is_set():
            left = _REFRESH_S if end is None else end - time.monotonic()
            if left <= 0 or node.wait(min(left, _REFRESH_S)):
                break
            if live is not None:
                now = node.snapshot()
                rates.update(now)
                live.update(render(now, rates), refresh=True)


@contextmanager
def telling(quiet: bool) -> Iterator[Teller]:
    """What to call with progress: a bar on a terminal, a line for each thing elsewhere."""
    if quiet:
        yield lambda what, part: None
        return
    if not console.is_terminal:
        said: set[str] = set()

        def say(what: str, part: float | None) -> None:
            if what not in said:
                said.add(what)
                console.print(what)

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, object] = {}

        def show(what: str, part: float | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=None)
            task = tasks[what]
            if part is not None:
                bars.update(task, total=1.0, completed=part)  # type: ignore[arg-type]

        yield show
