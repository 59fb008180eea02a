"""The ``edgesdk`` command: finds the subcommand, and ends every one of them the same way.

Subcommands are imported when they are called, so that ``edgesdk --help`` loads neither OpenCV nor
a runtime. Whatever goes wrong on purpose is an EdgeError: one line on standard error, its exit
code, and with ``--json`` an error document on standard output. Nobody sees a traceback, unless
``EDGESDK_DEBUG`` is set.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from edgesdk import __version__
from edgesdk.cli.interrupts import clear_shared_memory, interrupts
from edgesdk.errors import ConfigError, EdgeError, UsageError
from edgesdk.log import log_to_stderr

__all__ = ["command_line", "main"]


@dataclass(frozen=True)
class _Command:
    module: str
    help: str


_COMMANDS = {
    "demo": _Command("edgesdk.cli.demo", "A cluster of four cameras absorbs a spike, in one line."),
    "run": _Command("edgesdk.cli.run", "Run applications on cameras."),
    "agent": _Command("edgesdk.cli.agent", "Run on a camera for ever, by a file."),
    "models": _Command("edgesdk.cli.models", "List, pull, add, show and verify models."),
    "graph": _Command("edgesdk.cli.graph", "Show an application's graph, and what is shared."),
    "cluster": _Command("edgesdk.cli.cluster", "Make a cluster, give and take bundles, watch it."),
    "plan": _Command("edgesdk.cli.plan", "Which machine runs which stream, at the least cost."),
    "manage": _Command("edgesdk.cli.manage", "Carry a plan out, watch, migrate, scale."),
    "profile": _Command("edgesdk.cli.profile", "Measure what applications need."),
    "doctor": _Command("edgesdk.cli.doctor", "What works on this machine; why the rest does not."),
    "sim": _Command("edgesdk.cli.sim", "Simulate a cluster of cameras, policy beside policy."),
    "bench": _Command("edgesdk.cli.bench", "Measure this machine's ring, scheduler and models."),
}

# A signal is their normal end: from the first moment it only asks them to stop.
_RUN_UNTIL_STOPPED = ("demo", "run", "agent", "manage")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgesdk {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """The cameras of a LAN as one compute cluster."""


def command_line(called: Collection[str]) -> Any:
    """The click command: real for the subcommands in *called*, a line of help for the others."""
    app = typer.Typer(
        name="edgesdk",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, entry in _COMMANDS.items():
        app.command(name, help=entry.help)(_not_called)
    group: Any = typer.main.get_command(app)
    for name, entry in _COMMANDS.items():
        if name in called:
            real = typer.main.get_command(importlib.import_module(entry.module).app)
            real.name = name
            group.commands[name] = real
    return group


def _not_called() -> None:
    raise AssertionError("a command that the line does not name was called")


def main() -> None:
    """The console script; never returns."""
    words = sys.argv[1:]
    if words and words[0] in _RUN_UNTIL_STOPPED:
        if any("://" in word for word in words):
            from edgesdk.cli.title import conceal_arguments

            conceal_arguments()
        with interrupts:
            if words[0] == "agent":
                interrupts.heed_hangups()
            code = _end(words)
        if interrupts.left_behind:
            clear_shared_memory()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        # Everything is written. A runtime or an operator that hangs in a thread of its own must
        # not keep the process, nor crash it while the interpreter is taken down under it.
        os._exit(code)
    sys.exit(_end(words))


def _end(words: list[str]) -> int:
    """Runs the line and returns its exit code."""
    completing = os.environ.get("COMP_WORDS", "") + os.environ.get("_TYPER_COMPLETE_ARGS", "")
    code = 1
    log_to_stderr(verbose=False)
    try:
        first = next((word for word in words if not word.startswith("-")), "")
        answer = command_line({first, *completing.split()})(
            args=words, prog_name="edgesdk", standalone_mode=False
        )
        code = answer if isinstance(answer, int) else 0
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        _print_no_more()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except Exception as error:
        code = _report(error, words)
    try:
        sys.stdout.flush()
    except OSError:
        _print_no_more()
    return code


def _print_no_more() -> None:
    """Who read our output has gone, or its disk is full; the interpreter must not complain about
    it once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: Exception, words: list[str]) -> int:
    """Says what went wrong, one mistake a line; returns the exit code."""
    from edgesdk.records import encode_line, error_document

    if os.environ.get("EDGESDK_DEBUG"):
        import traceback

        traceback.print_exception(error)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(str(error), file=sys.stderr)
        return 2
    known = _as_edge_error(error, words)
    document = error_document(known)
    message = document.error.message
    # A configuration tells all of its mistakes, one a line; any other message is one line.
    lines = message.splitlines() if isinstance(known, ConfigError) else [message]
    for line in lines:
        print("error:", " ".join(line.split()), file=sys.stderr)
    if "--json" in words:
        with contextlib.suppress(OSError):
            sys.stdout.buffer.write(encode_line(document))
    return document.error.exit_code


def _as_edge_error(error: Exception, words: list[str]) -> EdgeError:
    if isinstance(error, EdgeError):
        return error
    # click's own exceptions: typer brings a click of its own, so their classes have two homes.
    describe = getattr(error, "format_message", None)
    if callable(describe):
        said = str(describe()) or "see edgesdk --help"
        if said.startswith("No such command"):
            said += f" There are: {', '.join(_COMMANDS)}."
        return UsageError(said + _given(getattr(error, "param", None), words))
    if isinstance(error, OSError):
        return EdgeError(str(error))
    return EdgeError(
        f"{type(error).__name__}: {error} (a bug in edgesdk: EDGESDK_DEBUG=1 shows where)"
    )


def _given(parameter: Any, words: list[str]) -> str:
    """What the line says for the option that is wrong, which click's message leaves out."""
    from edgesdk.redaction import redact

    for option in getattr(parameter, "opts", ()):
        for word, after in zip(words, [*words[1:], ""], strict=True):
            if word == option or word.startswith(f"{option}="):
                return f"; it is {redact(after if word == option else word[len(option) + 1 :])!r}"
    return ""


if __name__ == "__main__":
    main()
