"""The table of verbs, and the group that loads the one that is asked for.

Each verb is named with its module and one line of help, so that neither `procman --help` nor the completion of a verb
imports any, and no verb pays for another.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from procman import __version__
from procman.cli import loaded
from procman.cli.line.click_errors import explained
from procman.app.usage import UsageError
from procman.errors import nearest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Verb(NamedTuple):
    module: str
    help: str


SECTIONS: dict[str, dict[str, Verb]] = {
    "Run": {
        "start": Verb("start", "Run the formation in the foreground."),
        "run": Verb("run", "Run a one-off command in the application's environment."),
        "check": Verb("check", "Check the Procfile and everything that goes with it."),
    },
    "Change what runs": {
        "scale": Verb("scale", "Set how many instances of each type run."),
        "restart": Verb("restart", "Restart instances, or start stopped ones."),
        "stop": Verb("stop", "Stop instances and keep them stopped."),
        "signal": Verb("signal_", "Send a signal to instances."),
        "reload": Verb("reload", "Read the Procfile again and apply what changed."),
        "upgrade": Verb("upgrade", "Replace the running procman by the installed one."),
        "shutdown": Verb("shutdown", "Stop everything and end procman."),
    },
    "Look": {
        "ps": Verb("ps", "List the instances."),
        "top": Verb("top", "Watch and change the instances on a live screen."),
        "logs": Verb("logs", "Show what the instances wrote."),
        "attach": Verb("attach", "Type into an instance, and see its screen."),
        "events": Verb("events", "Show every change as it happens."),
        "debug": Verb("debug", "Run a trace of procman's decisions again."),
    },
}
VERBS = {name: verb for section in SECTIONS.values() for name, verb in section.items()}


class LazyGroup(click.Group):
    """A group that imports a verb's module when that verb is run, and no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """The command, None where there is none: module and function have the verb's name."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"procman.cli.{VERBS[cmd_name].module}")
        loaded()
        command: click.Command = getattr(module, VERBS[cmd_name].module)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-"):
            hint = "try 'procman --help'" if args[0] == "help" else nearest(args[0], VERBS)
            raise UsageError(f"cannot find the verb '{args[0]}'", hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<8}", verb.help) for name, verb in verbs.items()], col_spacing=4)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        from click.shell_completion import CompletionItem  # noqa: PLC0415  only where a shell asks

        verbs = [CompletionItem(name, help=verb.help) for name, verb in VERBS.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)


@click.command(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"auto_envvar_prefix": "PROCMAN", "help_option_names": ["-h", "--help"]},
    epilog='Completion: `eval "$(_PROCMAN_COMPLETE=bash_source procman)"` in ~/.bashrc; also zsh_source and fish_source.',
)
@click.version_option(__version__, "-V", "--version", message="procman %(version)s", allow_from_autoenv=False)
@click.pass_context
def procman(context: click.Context) -> None:
    """Run the process types of a Procfile, keep them running, and scale them.

    `procman start` in a folder with a Procfile runs it; the other verbs talk to that procman from another terminal.
    `procman VERB --help` explains a verb.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


def dispatch(args: list[str]) -> int:
    """Run the verb that these words name; returns its exit code, which is 0 where it returns nothing. Raises UsageError."""
    try:
        with procman.make_context("procman", args) as context:
            code = procman.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        raise explained(error) from None
    return code if isinstance(code, int) else 0


def complete(variable: str, instruction: str) -> int:
    """Answer the shell, which asks through this variable. A completion writes into the line that is being typed, so it fails in silence."""
    from click.shell_completion import shell_complete  # noqa: PLC0415  only where a shell asks

    try:
        return shell_complete(procman, {}, "procman", variable, instruction)
    except Exception:
        if os.environ.get("PROCMAN_DEBUG"):
            raise
        return 1
