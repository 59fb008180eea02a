"""``edgesdk plan``: which machine runs which stream, at the least cost, proven."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from edgesdk.planner.plan import Plan
    from edgesdk.planner.plan_entries import PlanInput
    from edgesdk.planner.plan_file import Estimate
    from edgesdk.planner.problem import Problem

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_MOST_BYTES = 64 << 20


@app.command()
def plan(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="Streams and machines (.toml, .json), the paper's scenarios (.json), or a .vbp.",
        ),
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which scenario of FILE.")
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="The paper's tables 6, 9, 11, 13 beside ours.")
    ] = False,
    target: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="How full to plan machines, over what FILE says."),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(metavar="A,B|all", help="Only these machine types; all: every one in FILE."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="TYPE=N", help="At most N of a type; repeat for several."),
    ] = None,
    earlier: Annotated[
        Path | None,
        typer.Option(
            "--replan", metavar="PLAN.json", help="Move little, from a plan printed with --json."
        ),
    ] = None,
    churn: Annotated[
        float, typer.Option(min=0, max=1, help="With --replan: the share that may move.")
    ] = 0.1,
    lost: Annotated[
        list[str] | None,
        typer.Option("--lost", metavar="ID", help="With --replan: a machine that is gone."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=86400, help="How long to search at most.")
    ] = 30.0,
    gap: Annotated[
        float, typer.Option(min=0, max=1, help="Be content this near to the lower bound.")
    ] = 0.0,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="What would change the bill, and by how much.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="DIR", help="Draw it here, too.")
    ] = None,
    prices: Annotated[
        bool, typer.Option("--prices", help="What machines cost to rent, as of when.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="With --prices: fetch them first.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Plan which machine runs which stream, at the least cost.

    A valid plan comes at once and better ones as they are found. Every plan is checked again by
    an independent verifier, and printed with a lower bound; it is called optimal only where the
    bound proves it. Where no plan exists, what is short is said, and by how much (exit code 9).
    """
    from edgesdk.errors import PlanError, UsageError
    from edgesdk.planner import replan, solve
    from edgesdk.planner.documents import earlier_plan, plan_document, refusal_document
    from edgesdk.records import encode_line

    if prices or refresh:
        if not prices or file is not None:
            raise UsageError("--prices [--refresh] shows prices, and goes with no FILE")
        from edgesdk.cli.prices import show_prices

        show_prices(refresh=refresh, as_json=as_json)
        return
    if paper:
        if file is not None and scenario is not None:
            raise UsageError("--paper shows every scenario: leave --scenario out")
        _print_paper(file, as_json)
        return
    if file is None:
        raise UsageError("a FILE is wanted, or --paper; see: edgesdk plan --help")
    problem = _problem(file, scenario, target, types, limit or [])
    if lost and earlier is None:
        raise UsageError("--lost goes with --replan PLAN.json")
    if what_if:
        _what_if(file, problem, plot, as_json)
        return
    replanned = None
    started = time.monotonic()
    try:
        with _progress(quiet=as_json) as tell:
            if earlier is None:
                found = solve(
                    problem, clock=time.monotonic, seconds=seconds, gap=gap, progress=tell
                )
            else:
                before = earlier_plan(_bytes(earlier), problem, file=str(earlier))
                if lost:
                    found = _repaired(problem, before, lost)
                else:
                    replanned = replan(
                        problem, before, clock=time.monotonic, seconds=seconds, churn=churn
                    )
                    found = replanned.plan
    except PlanError as error:
        if not as_json:
            raise
        taken = time.monotonic() - started
        document = refusal_document(problem, error, scenario=scenario, seconds=taken)
        sys.stdout.buffer.write(encode_line(document))
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from None
    if plot is not None:
        from edgesdk.cli.plan_plots import draw_plan

        for path in draw_plan(plot, problem, found):
            print(path, file=sys.stderr)
    if as_json:
        document = plan_document(problem, found, scenario=scenario, replanned=replanned)
        sys.stdout.buffer.write(encode_line(document))
        sys.stdout.flush()
        return
    from edgesdk.cli.plan_tables import show_plan

    show_plan(problem, found, replanned)


def _repaired(problem: Problem, before: Plan, lost: list[str]) -> Plan:
    from edgesdk.errors import UsageError
    from edgesdk.planner import repair, verify

    if faults := verify(problem, before):
        raise UsageError(
            f"--lost wants a plan that holds for the input as it is now: {faults[0]}; replan "
            "without --lost first"
        )
    return repair(problem, before, lost)


def _problem(
    file: Path, scenario: str | None, target: float | None, types: str | None, limits: list[str]
) -> Problem:
    from edgesdk.errors import UsageError
    from edgesdk.planner.problem import PPM

    if target is not None and not 1e-6 <= target <= 1:
        raise UsageError(f"--target {target}: expected a share above 0 (from 0.000001) to 1")
    problem = _read(file, scenario, every=types is not None or bool(limits))
    if target is not None:
        problem = replace(problem, target_ppm=round(target * PPM))
    known = [m.name for m in problem.machines]
    wanted = known if types in (None, "all") else [t.strip() for t in str(types).split(",")]
    given: dict[str, int] = {}
    for text in limits:
        name, _, number = text.rpartition("=")
        if not number.isdigit() or len(number) > 9:
            raise UsageError(f"--limit {text!r}: expected TYPE=N, such as c4.xlarge=5")
        given[name] = int(number)
    for name in (*wanted, *given):
        if name not in known:
            raise UsageError(f"there is no machine type {name!r} in {file}: {', '.join(known)}")
    if types is None and given:
        wanted = list(given)  # a limit names the machines there are
    machines = tuple(
        replace(m, limit=given.get(m.name, m.limit)) for m in problem.machines if m.name in wanted
    )
    classes = problem.classes
    if len(machines) < len(problem.machines):
        names = {m.name for m in machines}
        classes = tuple(
            c if c.machines is None else replace(c, machines=c.machines & names) for c in classes
        )
    return replace(problem, machines=machines, classes=classes)


def _read(file: Path, scenario: str | None, *, every: bool) -> Problem:
    """The problem in *file*; of a scenario with *every* type that the file has."""
    from edgesdk.errors import UsageError
    from edgesdk.planner.cam2 import read_scenarios, scenario_problem
    from edgesdk.planner.plan_file import problem_of
    from edgesdk.planner.vbp import read_vbp

    text = _text(file)
    is_json = _is_json(file, text)
    if file.suffix == ".vbp":
        problem = read_vbp(text, file=str(file))
    elif is_json and '"instance_types"' in text and '"scenarios"' in text:
        scenarios = read_scenarios(text, file=str(file))
        names = list(scenarios.scenarios)
        if scenario is None and len(names) != 1:
            raise UsageError(f"{file} has scenarios {', '.join(names)}: name one with --scenario")
        return scenario_problem(scenarios, scenario or names[0], all_types=every)
    else:
        given = _given(text, file, is_json)
        problem = problem_of(given, estimate=lambda *a: _estimate(file.parent, *a))
    if scenario is not None:
        raise UsageError(f"--scenario {scenario}: {file} has no scenarios")
    return problem


def _what_if(file: Path, problem: Problem, plot: Path | None, as_json: bool) -> None:
    from edgesdk.cli.what_if import show_what_if

    given = None
    text = _text(file)
    if file.suffix != ".vbp" and '"instance_types"' not in text:
        is_json = _is_json(file, text)
        given = _given(text, file, is_json)

    def told(words: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)

    show_what_if(
        problem,
        given,
        estimate=lambda *a: _estimate(file.parent, *a),
        plot=plot,
        as_json=as_json,
        told=told,
    )


def problem_and_input(file: Path) -> tuple[Problem, PlanInput]:
    """What *file*, of the planner's own form, states. Raises ConfigError."""
    from edgesdk.planner.plan_file import problem_of

    text = _text(file)
    given = _given(text, file, _is_json(file, text))
    return problem_of(given, estimate=lambda *a: _estimate(file.parent, *a)), given


def _given(text: str, file: Path, is_json: bool) -> PlanInput:
    from edgesdk.cli.prices import prices_in_force
    from edgesdk.planner.plan_file import read_plan_input

    form: Literal["json", "toml"] = "json" if is_json else "toml"
    return read_plan_input(text, file=str(file), form=form, prices=prices_in_force)


def _is_json(file: Path, text: str) -> bool:
    return file.suffix == ".json" or (file.suffix != ".toml" and text.lstrip().startswith("{"))


def _estimate(folder: Path, path: str, fps: float, width: int, height: int) -> Estimate:
    """What the profile at *path*, relative to *folder*, says of one stream."""
    from edgesdk.planner.plan_file import Estimate
    from edgesdk.profiling.document import load_profile

    profile = load_profile(folder / path)
    needs = profile.predict(fps, width, height)
    shared = max(profile.resolutions, key=lambda r: r.fit.memory_shared).fit
    return Estimate(
        {"cpu": needs.cpu, "memory": needs.memory / 1e9, "accelerator": needs.accelerator},
        {"cpu": shared.cpu_shared, "memory": shared.memory_shared / 1e9},
        profile.evidence,
        profile.source,
    )


def _bytes(file: Path) -> bytes:
    from edgesdk.errors import ConfigError

    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"{file}: {reason}: expected a file that can be read") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{file}: over {_MOST_BYTES} bytes: expected a plan's input")
    return data


def _text(file: Path) -> str:
    from edgesdk.errors import ConfigError

    data = _bytes(file)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{file}:{line}: byte 0x{data[error.start]:02x} is not UTF-8: expected text in UTF-8"
        ) from None


def _print_paper(file: Path | None, as_json: bool) -> None:
    from edgesdk.planner.cam2 import builtin_scenarios, read_scenarios
    from edgesdk.planner.documents import paper_document
    from edgesdk.planner.paper import optima, paper_rows
    from edgesdk.records import encode_line

    scenarios = builtin_scenarios()
    if file is not None:
        scenarios = read_scenarios(_text(file), file=str(file))
    rows, found = [], []
    for name in scenarios.scenarios:
        rows += paper_rows(scenarios, name, clock=time.monotonic)
        found.append(optima(scenarios, name, clock=time.monotonic))
    document = paper_document(rows, found)
    if as_json:
        sys.stdout.buffer.write(encode_line(document))
        sys.stdout.flush()
        return
    from edgesdk.cli.plan_tables import show_paper

    show_paper(document)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[Plan], None] | None]:
    """What the search has so far, on standard error, while it searches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("searching")

        def tell(found: Plan) -> None:
            bars.update(
                task,
                description=f"${found.usd_per_hour:,.3f} an hour, at most {found.gap:.2%} above "
                f"the cheapest ({found.method})",
            )

        yield tell
