"""The table of verbs, and the click group that loads the one that is called.

The table has one line of help for each verb, so that neither `procman --help` nor the completion of a verb imports the
verb's module, and no verb pays for another.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import click

from procman import __version__
from procman.cli.early import load_msgspec, loaded
from procman.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SECTIONS = {
    "Run": {
        "start": "Run what the Procfile says, in the foreground.",
        "run": "Run a one-off command in the application's environment.",
        "check": "Check the Procfile, .env and procman.yml.",
        "init": "Write a Procfile from a project or another tool's file.",
    },
    "Change what runs": {
        "scale": "Set how many instances of each type run.",
        "autoscale": "Show, pause or resume automatic scaling.",
        "restart": "Restart instances, or start stopped ones.",
        "stop": "Stop instances and keep them stopped.",
        "signal": "Send a signal to instances.",
        "reload": "Read the Procfile again and apply what has changed.",
        "upgrade": "Replace the running procman with the installed version.",
        "shutdown": "Stop everything and end procman.",
    },
    "Inspect": {
        "ps": "List the instances.",
        "why": "Explain the state of an instance.",
        "wait": "Wait until instances are ready, done or stopped.",
        "top": "Watch and change the instances on a live screen.",
        "logs": "Show what the instances wrote.",
        "attach": "Connect keyboard and screen to an instance.",
        "events": "Show every change as it happens.",
        "debug": "Run a trace of procman's decisions again.",
    },
}
VERBS = {name: line for verbs in SECTIONS.values() for name, line in verbs.items()}
MODULES = {"signal": "signal_"}
"""Verbs that are not named as their module and function: `signal` is a module of the standard library."""


class LazyGroup(click.Group):
    """A group that imports a verb's module only when that verb is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """The command, None if there is none. Module and function have the verb's name."""
        if cmd_name not in VERBS:
            return None
        load_msgspec()
        name = MODULES.get(cmd_name, cmd_name)
        module = importlib.import_module(f"procman.cli.verbs.{name}")
        loaded()
        command: click.Command = getattr(module, name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-"):
            from procman.cli.line.advice import of_misspelt_verb, of_unknown_verb  # noqa: PLC0415  only on the way to an error

            types = _types()
            hint = (
                of_unknown_verb(args, types)
                or _of_type(args[0], types)
                or of_misspelt_verb(args, VERBS)
                or _all_verbs()
            )
            raise UsageError(f"cannot find the verb '{args[0]}'", hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        width = max(map(len, VERBS))
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", line) for name, line in verbs.items()], col_spacing=3)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        from click.shell_completion import CompletionItem  # noqa: PLC0415  only where a shell asks

        verbs = [CompletionItem(name, help=line) for name, line in VERBS.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)


@click.command(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"auto_envvar_prefix": "PROCMAN", "help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Completion: `eval "$(_PROCMAN_COMPLETE=bash_source procman)"` in ~/.bashrc; also zsh_source and fish_source.',
)
@click.version_option(__version__, "-V", "--version", message="procman %(version)s", allow_from_autoenv=False)
@click.pass_context
def procman(context: click.Context) -> None:
    """Run the process types of a Procfile, keep them running, and scale them.

    `procman start` in a folder with a Procfile runs it; the other verbs talk to that procman from another terminal.
    `procman help VERB` explains a verb.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


def _types() -> set[str]:
    """The types of the Procfile here, none if it cannot be read."""
    try:
        with open("Procfile", encoding="utf-8", errors="replace") as lines:
            return {line.partition(":")[0].strip() for line in lines if ":" in line}
    except OSError:  # there is no Procfile
        return set()


def _of_type(word: str, types: set[str]) -> str:
    """The hint where the word is a type, "" otherwise."""
    return (
        f"`procman start {word}` starts that type alone, `procman logs {word}` shows its output"
        if word in types
        else ""
    )


def _all_verbs() -> str:
    return f"the verbs are {', '.join(VERBS)}; `procman help VERB` explains one"


def dispatch(args: list[str]) -> int:
    """Run the verb in these words; returns its exit code, 0 if it returns none. Raises UsageError."""
    if args[:1] == ["help"]:
        args = [*args[1:2], "--help"]
    try:
        with procman.make_context("procman", [*args]) as context:
            code = procman.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        error.ctx = error.ctx or _context_of(args[0])  # click gives no name where an option lacks its value
        from procman.cli.line.click_errors import explained  # noqa: PLC0415  only on the way to an error

        raise explained(error, args) from None
    return code if isinstance(code, int) else 0


def _context_of(verb: str) -> click.Context | None:
    context = click.Context(procman, info_name="procman")
    command = procman.get_command(context, verb)
    return click.Context(command, context, verb) if command is not None else None


def complete(variable: str, instruction: str) -> int:
    """Answer a shell that completes a line, which it asks through this variable. Completion fails silently, as it
    writes into the line that is being typed.
    """
    from click.shell_completion import shell_complete  # noqa: PLC0415  only where a shell asks

    try:
        return shell_complete(procman, {}, "procman", variable, instruction)
    except Exception:
        if os.environ.get("PROCMAN_DEBUG"):
            raise
        return 1
