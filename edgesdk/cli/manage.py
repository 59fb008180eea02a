"""``edgesdk manage``: a plan carried out, and watched until somebody says stop."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgesdk.errors import UsageError

if TYPE_CHECKING:
    from edgesdk.planner.plan import Plan
    from edgesdk.planner.plan_entries import PlanInput
    from edgesdk.planner.problem import Problem
    from edgesdk.planner.rates import Rate
    from edgesdk.provision.account import Account
    from edgesdk.provision.document import ManageDocument, RateDocument
    from edgesdk.provision.live import Live
    from edgesdk.provision.live_records import LiveStream
    from edgesdk.provision.provider import Ask, Provider

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_PROVIDERS = ("local", "cluster", "cloud")
_TROUBLED_S = 2.0
_END_S = 1.7


@app.command()
def manage(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A plan's input, with apps.")],
    provider: Annotated[
        str, typer.Option("--provider", metavar="NAME", help="local, cluster or cloud.")
    ] = "local",
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it; without, only say what would be done.")
    ] = False,
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="USD", help="Never spend more, in all.")
    ] = None,
    period: Annotated[
        float, typer.Option("--period", metavar="S", help="Look and decide so often.")
    ] = 10.0,
    duration: Annotated[
        float | None, typer.Option("--duration", metavar="S", help="End after S seconds.")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Of local agents and bundles.")
    ] = Path("edgesdk-managed"),
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="FILE", help="The operator's, of a cluster.")
    ] = None,
    peer: Annotated[
        list[str] | None, typer.Option("--peer", metavar="HOST:PORT", help="A member to begin at.")
    ] = None,
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="NAME=TYPE", help="With cluster: the type of a node."),
    ] = None,
    cluster_dir: Annotated[
        Path | None,
        typer.Option("--cluster-dir", metavar="DIR", help="With cloud: of `cluster init`."),
    ] = None,
    driver: Annotated[
        str, typer.Option("--driver", metavar="NAME", help="With cloud: libcloud's. [ec2]")
    ] = "ec2",
    region: Annotated[
        str | None, typer.Option("--region", metavar="NAME", help="With cloud.")
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="ID", help="With cloud: of its machines.")
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", help="Plan for so long at most.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Carry a plan out on machines, watch them, migrate, scale. A dry run without --apply.

    The keys of a cloud are read from EDGESDK_CLOUD_KEY and EDGESDK_CLOUD_SECRET.
    """
    from edgesdk.cli.plan import problem_and_input
    from edgesdk.planner import solve
    from edgesdk.provision.document import ManageDocument
    from edgesdk.records import encode_line

    if provider not in _PROVIDERS:
        raise UsageError(f"--provider {provider!r}: expected one of {', '.join(_PROVIDERS)}")
    if not period > 0:
        raise UsageError(f"--period is {period:g}; expected seconds above 0")
    problem, given = problem_and_input(file)
    streams = _streams(given, file)
    found = solve(problem, clock=time.monotonic, seconds=seconds)
    spends = any(m.microusd for m in problem.machines)
    if spends and apply and budget is None:
        raise UsageError("--apply with machines that cost money: say how much, with --budget USD")
    document = ManageDocument(
        applied=apply,
        provider=provider,
        usd_per_hour=found.usd_per_hour,
        machines=found.instances(),
        streams=len(streams),
    )
    if apply:
        words = {
            "folder": folder,
            "bundle": bundle,
            "peers": peer or (),
            "nodes": node or (),
            "cluster_dir": cluster_dir,
            "driver": driver,
            "region": region,
            "image": image,
        }
        with ExitStack() as stack:
            account = None if budget is None else _account(folder, budget)
            source, ask = _provider(provider, problem, stack, words)
            if account is not None:
                account.begin(source.hosts(), ended_with_it=provider == "local")
            document = _run(
                document, problem, found, streams, source, ask, account, period, duration, as_json
            )
    elif not as_json:
        _dry(found, provider)
    if as_json:
        sys.stdout.buffer.write(encode_line(document))
        sys.stdout.flush()


def _dry(found: Plan, provider: str) -> None:
    kinds = ", ".join(f"{count} x {kind}" for kind, count in found.instances().items())
    print(f"dry run: would use {kinds} of {provider}, ${found.usd_per_hour:.3f} an hour")
    for machine in found.machines:
        held = ", ".join(f"{count} {name}" for name, count in machine.streams.items())
        print(f"  {machine.id}: {held}")
    print("with --apply it is done")


def _run(
    document: ManageDocument,
    problem: Problem,
    found: Plan,
    streams: list[LiveStream],
    source: Provider,
    ask: Ask,
    budget: Account | None,
    period: float,
    duration: float | None,
    as_json: bool,
) -> ManageDocument:
    from dataclasses import asdict

    import msgspec

    from edgesdk.cli.background import in_background
    from edgesdk.cli.interrupts import interrupts
    from edgesdk.provision.document import LossDocument
    from edgesdk.provision.live import Live

    live = Live(problem, streams, source, ask, budget, told=_tell)
    began = time.monotonic()

    def work() -> None:
        live.carry_out(found, time.monotonic())
        settled = False
        while duration is None or time.monotonic() - began < duration:
            live.step(time.monotonic())
            if budget is not None:
                budget.keep()
            if live.settled and not settled:
                settled = True
                _tell(f"all {len(streams)} streams have their machine")
            # Until all run there is something new every moment.
            pause = period if settled else min(period, 0.5)
            pause = min(pause, _TROUBLED_S) if live.troubled or not live.settled else pause
            if duration is not None:
                pause = min(pause, max(0.0, began + duration - time.monotonic()))
            if interrupts.asked.wait(pause):
                break

    # A machine that does not answer must not keep the manager from ending.
    in_background(work)
    rates = [rate.eta for rate in live.rates.values()]
    done = msgspec.structs.replace(
        document,
        where=live.where(),
        migrations=live.migrations,
        eta=sum(rates) / len(rates) if rates else None,
        programs=_programs(live),
        losses=[LossDocument(**asdict(loss)) for loss in live.losses],
        spent_usd=0.0 if budget is None else budget.committed(time.monotonic()),
        seconds=round(time.monotonic() - began, 1),
    )
    _tell(_summary(done))
    return done


def _account(folder: Path, usd: float) -> Account:
    from edgesdk.provision.account import Account

    account = Account(folder / "account.json", usd)
    before = account.committed(time.monotonic())
    if before:
        _tell(f"${before:.3f} of the budget of ${usd:g} were due before ({account.path})")
    return account


def _programs(live: Live) -> dict[str, RateDocument]:
    from edgesdk.provision.document import RateDocument

    rates: dict[str, list[Rate]] = {}
    for slot, rate in live.rates.items():
        rates.setdefault(live.streams[slot].klass, []).append(rate)
    return {
        name: RateDocument(
            eta=sum(rate.eta for rate in found) / len(found),
            short_of_machine=sum(rate.cause == "machine" for rate in found),
            short_outside=sum(rate.cause == "outside" for rate in found),
        )
        for name, found in rates.items()
    }


def _summary(done: ManageDocument) -> str:
    words = [f"{len(done.where)} of {done.streams} streams on {len(set(done.where.values()))}"]
    words[0] += f" machines after {done.seconds:g} s"
    words.append(f"{done.migrations} migrations")
    words += [f"{len(done.losses)} machines lost"] if done.losses else []
    for name, rate in done.programs.items():
        causes = ((rate.short_of_machine, "machine"), (rate.short_outside, "causes outside"))
        short = [f"{count} short for {cause}" for count, cause in causes if count]
        words.append(f"{name} at {rate.eta:.1%} of its rate{''.join(f' ({s})' for s in short)}")
    words += [f"${done.spent_usd:.3f} due"] if done.spent_usd else []
    return "; ".join(words)


def _tell(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def _streams(given: PlanInput, file: Path) -> list[LiveStream]:
    from edgesdk.graph import load_application
    from edgesdk.provision.live_records import LiveStream

    found = []
    for name, entry in given.streams.items():
        if not entry.app or not entry.cameras:
            raise UsageError(
                f'{file}: [streams.{name}] cannot be carried out: say app = "FILE.py:NAME" and '
                "cameras = { name = URI }"
            )
        path, _, attribute = entry.app.rpartition(":")
        app = f"{(file.parent / path).resolve()}:{attribute}" if path.endswith(".py") else entry.app
        stateless = not _keeps_state(load_application(app))
        width, _, height = (entry.resolution or "0x0").partition("x")
        for camera, uri in entry.cameras.items():
            place = file.parent / uri.partition("?")[0]
            full = (
                f"{place.resolve()}{uri[len(uri.partition('?')[0]) :]}" if place.exists() else uri
            )
            found.append(
                LiveStream(
                    klass=name,
                    camera=camera,
                    uri=full,
                    app=app,
                    fps=entry.fps or 0.0,
                    pixels=int(width) * int(height),
                    stateless=stateless,
                )
            )
    return found


def _keeps_state(application: Any) -> bool:
    from edgesdk.graph import compile_applications
    from edgesdk.models import ModelRegistry

    plan = compile_applications([(application, "camera")], ModelRegistry().resolve)
    return any(p.role == "stateful" for p in plan.operators)


def _provider(
    name: str, problem: Problem, stack: ExitStack, words: dict[str, Any]
) -> tuple[Provider, Ask]:
    from edgesdk.cli.interrupts import interrupts
    from edgesdk.cluster.administration import administer
    from edgesdk.cluster.identity import Identity

    source: Any
    if name == "local":
        from edgesdk.provision.local import LocalProcesses

        source = LocalProcesses(words["folder"], {m.name: m.limit for m in problem.machines})
        operator = source.operator
    else:
        if words["bundle"] is None:
            raise UsageError(f"--provider {name}: say who asks, with --bundle OPERATOR.bundle")
        operator = Identity.load(words["bundle"])
        source = (_existing if name == "cluster" else _cloud)(operator, problem, words)
    asked_at: list[float] = []

    def note_signal() -> None:
        interrupts.asked.wait()
        asked_at.append(time.monotonic())

    # Of the two seconds that the end may take, one that does not answer took some.
    threading.Thread(target=note_signal, daemon=True).start()
    stack.callback(
        lambda: source.close(max(0.3, asked_at[0] + _END_S - time.monotonic()) if asked_at else 1.6)
    )

    def ask(address: tuple[str, int], verb: str, body: Any) -> Any:
        # Models are loaded before an assignment is taken; a status is there or not.
        seconds = {"assign": 30.0, "status": 3.0}.get(verb, 6.0)
        return administer(operator, address, verb, body, timeout=seconds)

    return source, ask


def _existing(operator: Any, problem: Problem, words: dict[str, Any]) -> Provider:
    from edgesdk.provision.existing import ExistingNodes

    kinds = [m.name for m in problem.machines]
    of = {}
    for text in words["nodes"]:
        node, _, kind = text.partition("=")
        if kind not in kinds:
            raise UsageError(f"--node {text!r}: expected NAME=TYPE, TYPE one of {', '.join(kinds)}")
        of[node] = kind
    if not of or not words["peers"]:
        raise UsageError("--provider cluster: name nodes with --node NAME=TYPE and a --peer")
    return ExistingNodes(operator, [_address(text) for text in words["peers"]], of)


def _cloud(operator: Any, problem: Problem, words: dict[str, Any]) -> Provider:
    import os

    from edgesdk.cluster.administration import administer
    from edgesdk.cluster.authority import Authority
    from edgesdk.errors import EdgeError
    from edgesdk.provision.cloud import CloudMachines, open_driver

    for option in ("cluster_dir", "image"):
        if words[option] is None:
            raise UsageError(f"--provider cloud: --{option.replace('_', '-')} is missing")

    def answers(address: tuple[str, int]) -> bool:
        try:
            return bool(administer(operator, address, "who", {}, timeout=3.0))
        except EdgeError:
            return False

    driver = open_driver(
        words["driver"],
        os.environ.get("EDGESDK_CLOUD_KEY", ""),
        os.environ.get("EDGESDK_CLOUD_SECRET", ""),
        words["region"],
    )
    return CloudMachines(
        driver,
        kinds={m.name: m.name for m in problem.machines if m.microusd},
        image=words["image"],
        authority=Authority(words["cluster_dir"]),
        folder=words["folder"],
        seeds=tuple(words["peers"]),
        answers=answers,
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--peer {text!r}: expected HOST:PORT")
    return host.strip("[]"), int(port)
