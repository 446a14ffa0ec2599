"""`procman events`: every change as one line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import msgspec

from procman.cli.target import TargetOptions, client_options
from procman.text.lines import clean, json_object

if TYPE_CHECKING:
    from procman.control.messages import Happened


@click.command()
@click.option("--json", is_flag=True, show_envvar=True, help="Print one JSON object per line.")
@client_options
def events(target: TargetOptions, *, json: bool) -> None:
    """Show every change (started, ready, ended, scaled …) as it happens, until procman ends or you press Ctrl-C.

    With --json each line has `time` (seconds since the epoch), `event`, `text`, and where they apply `instance`,
    `type`, `phase`, `pid`, `exit`, `retry_in`, and `missed`: how many changes before this one came too fast to be shown.

    \b
    Examples:
      procman events
      procman events --json | jq 'select(.event == "failed")'
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    with target.connect() as client:
        for happened in client.events():
            click.echo(_as_json(happened) if json else _as_text(happened))


def _as_json(happened: Happened) -> bytes:
    fields = {"time": happened.time} | msgspec.to_builtins(happened.change)
    if happened.missed:
        fields["missed"] = happened.missed
    return json_object(fields)


def _as_text(happened: Happened) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(happened.time))
    gap = f"{clock} missed {happened.missed} changes\n" if happened.missed else ""
    return f"{gap}{clock} {happened.change.event.value:<12} {clean(happened.change.text)}"
