"""What the first version of the protocol contained. Its peers know nothing else, and it named no capabilities."""

from __future__ import annotations

from msgspec.structs import replace

from procman.core.view import Change, Kind

CAPABILITIES = frozenset(
    """
    hello ps scale scale.to scale.by restart restart.names stop stop.names stop.all
    signal signal.signal signal.names signal.leader logs logs.names logs.lines logs.follow logs.after events events.after
    attach attach.instance attach.read_only attach.columns attach.rows input input.stream input.text input.base64
    resize resize.stream resize.columns resize.rows reload upgrade shutdown
    """.split()  # noqa: SIM905  sixty lines of a list
)
"""Methods and the members of their parameters, as later versions name them in `hello`."""

KINDS = frozenset(
    """
    started ready ended backoff start-failed stopping stopped done failed killed unkillable adopted waiting crash-loop
    recovered command scaled reloaded upgraded shutdown finished
    """.split()  # noqa: SIM905  as above
)
"""The kinds of events. A client of that version fails at any other word."""


def in_first_words(change: Change) -> Change:
    """The change for a reader that does not accept unknown words: a later kind is sent as `command`, with its text."""
    return change if change.event.value in KINDS else replace(change, event=Kind.COMMAND)
