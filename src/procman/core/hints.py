"""What a person may want to change after an instance ended with success: one hint at most, for the line of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.core.phases import AfterClearing, Clearing, SlotRecord
from procman.core.spec import OnEnd, ProcessSpec, Stdin, When

if TYPE_CHECKING:
    from procman.core.events import Exited, ExitStatus

QUICK = 5.0
"""Seconds: what ends sooner has hardly worked. By then a watcher has built once, a daemon is in the background."""

PIPELINE = "the status is that of the last command of the pipeline; `set -o pipefail` with --shell /bin/bash reports the others'"
EMPTY_INPUT = "its standard input is empty: a watcher that ends with its input needs `stdin: open`"
IN_BACKGROUND = "it went to the background"
ALWAYS = "policy: always would start it again"
_READERS = r"(?:cat|read|tee|xargs|sh|bash|zsh|node|python3?|irb|iex|ghci|psql|sqlite3|redis-cli)"
_READS_INPUT = (
    r"watch|stdin|\b(?:serve|repl|console|shell|interactive)\b|(?:^|\s)-[wi](?:$|\s)"  # it has arguments
    rf"|(?:^|[;&|(]|\bexec)\s*{_READERS}\s*(?:$|[;&|)])"  # a program without arguments
    r"|(?:^|[;&|(]|\bexec)\s*(?:npm|pnpm|yarn|bun|npx|bunx|deno)\s"  # it is unknown what it runs
)
"""Commands that may end because their input is empty; `echo one` simply ends."""

FOREGROUND = (
    "where procman does not keep it: its command needs the option that keeps it in the foreground (`procman check` names that of "
    "many programs)"
)
NO_AMPERSAND = "where procman does not keep it: leave out the `&` at the end of its command"


def of_success(spec: ProcessSpec, event: Exited, lived: float) -> str:
    """The hint, empty if there is none. A hint that leads into a crash loop is worse than none."""
    if event.status.code == 0 and "|" in spec.command:
        from procman.text.shell import is_pipeline  # noqa: PLC0415  few lines have one

        if is_pipeline(spec.command):
            return PIPELINE
    if spec.oneshot or spec.on_end is OnEnd.EXIT or spec.restart.policy is not When.ON_FAILURE:
        return ""  # it was meant to end
    empty = _ended_with_its_input(spec, event.status, lived)
    if event.daemon and lived < QUICK and not (empty and event.in_group):
        return f"{IN_BACKGROUND} (pid {event.daemon}), {foreground(spec.command)}"
    return EMPTY_INPUT if empty else ALWAYS


def foreground(command: str) -> str:
    """How a command is kept in the foreground."""
    from procman.text.shell import ends_in_background  # noqa: PLC0415  few programs go to the background

    return NO_AMPERSAND if ends_in_background(command) else FOREGROUND


def _ended_with_its_input(spec: ProcessSpec, status: ExitStatus, lived: float) -> bool:
    """What such a command leaves in its group is not a daemon, but a helper that is about to end (Tailwind's, for
    example).
    """
    if status.code != 0 or lived >= QUICK or spec.tty or spec.stdin is not Stdin.NULL:
        return False
    import re  # noqa: PLC0415  few instances end with success

    return re.search(_READS_INPUT, spec.command) is not None


def went_to_background(spec: ProcessSpec, phase: Clearing, record: SlotRecord, *, in_group: bool) -> bool:
    """Whether the rest of this run is a daemon not reported yet. A one-off may leave an agent on purpose."""
    lived = record.ended_at - phase.leader.started_at
    is_known = phase.why.text.endswith(IN_BACKGROUND)
    if phase.then is not AfterClearing.DONE or lived >= QUICK or is_known or spec.oneshot:
        return False
    return not in_group or record.last_exit is None or not _ended_with_its_input(spec, record.last_exit, lived)
