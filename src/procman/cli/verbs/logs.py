"""`procman logs`: the kept output of instances, and with `--follow` also new output."""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from procman.cli.line.completion import complete_instances
from procman.cli.target import TargetOptions, client_options
from procman.control.streaming import data_of
from procman.errors import ProcmanError
from procman.text import lines as display
from procman.text.colour import color_of, system_color, wants_color
from procman.text.words import type_of

if TYPE_CHECKING:
    from procman.control.messages import Output
    from procman.core.view import FleetView
    from procman.text.ansi import SharedView


MAX_LINES = 1_000_000_000
"""Stands for every larger number: the most that the protocol takes, and more than is kept."""


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_instances)
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    show_envvar=True,
    help="Also show new output, until procman ends or you press Ctrl-C.",
)
@click.option("-n", "--lines", type=click.IntRange(min=0), metavar="N", show_envvar=True, help="Only the last N lines.")
@click.option("--json", is_flag=True, show_envvar=True, help="Print one JSON object per line.")
@client_options
def logs(target: TargetOptions, names: tuple[str, ...], lines: int | None, *, follow: bool, json: bool) -> None:
    """Show what instances wrote, as the terminal of `procman start` does: all of them, or by type, name or pattern.

    `system` names procman's own lines: why something crashed, what was scaled. Without a name they are included.

    procman keeps the last 256 KiB of each. Where output is missing, because this reader was too slow or too late, a line
    says how much.

    \b
    Examples:
      procman logs web.1 -n 50
      procman logs --follow
      procman logs system
      procman logs worker --json | jq -r .message
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    if sys.stdout is None:
        raise ProcmanError("cannot show lines: standard output is closed", "leave out `>&-`; > FILE keeps them")
    with target.connect() as client:
        fleet = client.ps().fleet
        screen = os.isatty(1)
        log_format = LogFormat.at(fleet, colored=wants_color(os.environ, terminal=screen), screen=screen)
        out = sys.stdout.buffer
        for output in client.logs(names, lines if lines is None else min(lines, MAX_LINES), follow=follow):
            out.write(log_format.as_json(output) if json else log_format.as_text(output))
            out.flush()


class LogFormat(Struct, frozen=True):
    """How lines look: the width of names, the colour of each type (none without colours), the state of each terminal's
    view, and whether output goes to a `screen`, where the bytes written to a pipe could move the cursor.
    """

    width: int
    colors: dict[str, bytes]
    views: dict[str, SharedView] = {}
    screen: bool = False

    @classmethod
    def at(cls, fleet: FleetView, *, colored: bool, screen: bool = False) -> LogFormat:
        width = max(len(name) for name in [display.SYSTEM, *(i.name for i in fleet.instances)])
        colors = {name: color_of(n) for n, name in enumerate(fleet.formation)} if colored else {}
        return cls(width, colors, screen=screen)

    def as_text(self, output: Output) -> bytes:
        clock = time.strftime("%H:%M:%S", time.localtime(output.time))
        color = self.colors.get(type_of(output.instance))
        if output.instance == display.SYSTEM and self.colors:
            color = system_color()
        prefix = display.text_prefix(output.instance, self.width, clock, color)
        lines = self._shown(output, colored=bool(self.colors))
        gap = prefix + f"[missed {output.missed} bytes]\n".encode() if output.missed else b""
        return gap + display.text_lines(prefix, prefix + lines) if lines else gap

    def as_json(self, output: Output) -> bytes:
        prefix = display.json_prefix(output.instance, iso(output.time), None)
        lines = self._shown(output, colored=False)
        gap = prefix.replace(b'"message":', b'"missed":%d}\n' % output.missed) if output.missed else b""
        return gap + display.json_lines(prefix, lines) if lines else gap

    def _shown(self, output: Output, *, colored: bool) -> bytes:
        """The lines as the terminal of `procman start` shows them."""
        lines = data_of(output)
        if output.terminal:
            from procman.text.ansi import SharedView  # noqa: PLC0415  2 ms, only where there is a terminal

            lines = self.views.setdefault(output.instance, SharedView(color=colored)).lines(lines)
        elif self.screen:
            from procman.text.ansi import visible  # noqa: PLC0415  as above

            lines = visible(lines, color=True)
        return display.end_styles(lines) if colored and b"\x1b" in lines else lines


def iso(seconds: float) -> str:
    """Seconds since the epoch as in `start --log-format json`: local time with its offset (RFC 3339)."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")
