"""``edgesdk agent``: what runs on a camera, for ever, by a file.

SIGHUP reads the file again; SIGTERM ends within two seconds. Here a node, its cluster and its web
surface are put together.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgesdk.cli.interrupts import interrupts
from edgesdk.cli.service import ServiceManager
from edgesdk.errors import BundleError, ConfigError, EdgeError

if TYPE_CHECKING:
    from edgesdk.config import Config
    from edgesdk.records import RunSummary
    from edgesdk.runtime.agent import Agent
    from edgesdk.runtime.placing import Placer
    from edgesdk.web import WebServer

app = typer.Typer(add_completion=False, rich_markup_mode=None)
log = logging.getLogger(__name__)

_LOOK_S = 0.1
# The dispatcher looks after its feeds fifty times a second; who is silent for so long is stuck.
_STUCK_S = 5.0


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def agent(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="A TOML file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Append each result here, as a JSON line."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document at the end, and nothing else.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell more.")] = False,
) -> None:
    """Run on a camera for ever; SIGHUP reads FILE again and keeps what did not change."""
    import msgspec

    from edgesdk.cli.background import in_background
    from edgesdk.log import log_to_stderr

    log_to_stderr(verbose=True)
    logging.getLogger("edgesdk.capture").setLevel(logging.INFO if verbose else logging.WARNING)
    manager = ServiceManager()
    made: list[Service] = []
    ended: RunSummary | None = None
    try:
        if in_background(lambda: made.append(Service(config, out))) and in_background(
            made[0].start
        ):
            manager.ready()
            made[0].serve(manager)
    finally:
        manager.stopping()
        if made and not interrupts.left_behind:
            made[0].stop()
            ended = made[0].agent.node.summary()
    # Imported last: they bring rich, and a node has its peers the sooner without.
    from edgesdk.cli.run import check_written
    from edgesdk.cli.summary import NOTHING, summary_lines
    from edgesdk.records import encode_line

    summary = msgspec.structs.replace(ended or NOTHING, command="agent")
    if as_json:
        sys.stdout.buffer.write(encode_line(summary))
        sys.stdout.flush()
    else:
        for line in summary_lines(summary):
            print(line)
    check_written(summary)


class Service:
    """An agent with its web surface, and what is done with it at signals."""

    def __init__(self, file: Path, out: Path | None) -> None:
        from edgesdk.config import load_config
        from edgesdk.runtime.agent import Agent

        self._started = False

        def read() -> Config:
            return load_config(file, again=self._started)

        self.agent = Agent(read, placer=member_of, folder=file.parent, out=out)
        self._web: WebServer | None = None
        self._listen: str | None = None
        self._mistake = ""

    def start(self) -> None:
        """Raises EdgeError where the file means nothing, or what it says cannot be done."""
        self.agent.start(cancel=interrupts.asked)
        self._started = True
        self._show(self.agent.node.config.web.listen)
        # What the start has made stays: no collection looks at it again, and none is as long.
        gc.freeze()
        gc.enable()
        node = self.agent.node
        log.info("%s is up: %s", node.name, self._status())

    def serve(self, manager: ServiceManager) -> None:
        """Until SIGTERM or SIGINT. Raises EdgeError if the node itself breaks."""
        manager.says(self._status())
        reloading: threading.Thread | None = None
        while not interrupts.asked.wait(_LOOK_S):
            node = self.agent.node
            node.check()
            if node.seconds_silent < _STUCK_S:
                manager.alive()
            self._follow(node.config.web.listen)
            if reloading is not None and not reloading.is_alive():
                reloading = None
                manager.says(self._mistake or self._status())
                manager.ready()
            if reloading is None and interrupts.hung_up.is_set():
                interrupts.hung_up.clear()
                manager.reloading()
                # Models may have to be loaded: signals and the watchdog do not wait for that.
                reloading = threading.Thread(target=self._reload, name="reload", daemon=True)
                reloading.start()

    def stop(self) -> None:
        self.agent.stop()
        self._show(None)

    def _status(self) -> str:
        node = self.agent.node
        return f"{len(node.feeds)} cameras, {len(node.residency.models)} models"

    def _reload(self) -> None:
        self._mistake = ""
        try:
            self.agent.reload()
        except EdgeError as error:
            self._mistake = "the file has mistakes, the configuration before goes on"
            if not interrupts.asked.is_set():
                log.error("the configuration is not taken over, the one before goes on:")
                lines = str(error).splitlines() if isinstance(error, ConfigError) else [str(error)]
                for line in lines:
                    log.error("%s", line)
        except Exception:
            log.exception("reading the configuration again failed; the one before goes on")

    def _follow(self, listen: str | None) -> None:
        """The web surface goes where the configuration in force wants it, whoever changed that."""
        try:
            self._show(listen)
        except EdgeError as error:
            log.error("the web surface stays where it is: %s", error)
            self._listen = listen

    def _show(self, listen: str | None) -> None:
        """Serves the web surface on *listen*, and no more where it did. Raises UsageError."""
        if listen == self._listen:
            return
        fresh = None
        if listen is not None:
            from edgesdk.web import WebServer

            fresh = WebServer(self.agent.node, listen)
            fresh.start()
            log.info("metrics, health and previews: %s", fresh.url)
        if self._web is not None:
            self._web.close()
        self._web, self._listen = fresh, listen


def member_of(agent: Agent, config: Config) -> Placer | None:
    """The node's part in its cluster, if the file has one. Raises BundleError."""
    if config.cluster is None:
        return None
    from msgspec import to_builtins

    from edgesdk.cluster.administration import Handler
    from edgesdk.cluster.identity import Identity
    from edgesdk.cluster.member import Member

    def assign(caller: Any, body: Any) -> Any:
        return to_builtins(agent.assign(body))

    def reload(caller: Any, body: Any) -> Any:
        return to_builtins(agent.reload())

    def take_states(caller: Any, body: Any) -> Any:
        return to_builtins(agent.take_states(body), builtin_types=(bytes,))

    def give_states(caller: Any, body: Any) -> Any:
        return agent.give_states(body)

    identity = Identity.load(config.cluster.bundle)
    if identity.role != "node":
        raise BundleError(
            f"{config.cluster.bundle}: the bundle of an operator, which belongs on no node: it "
            "administers all of them; make a node's with: edgesdk cluster add NAME"
        )
    emulated = config.emulated
    return Member(
        config.cluster,
        identity,
        slots=8 if emulated is None else emulated.residents,
        service_class=_service_class(config),
        verbs={
            "assign": Handler(assign),
            "reload": Handler(reload),
            "state.take": Handler(take_states),
            "state.give": Handler(give_states),
        },
    )


def _service_class(config: Config) -> int:
    """1 to 255, equal on nodes of equal speed: of the accelerator's name, or the machine's."""
    from edgesdk.inference.host import cores, processor

    words = f"{processor()} {config.node.threads or cores()}"
    if config.emulated is not None:
        words = f"emulated {config.emulated.name}"
    return 1 + zlib.crc32(words.encode()) % 255
