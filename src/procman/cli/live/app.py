"""The live screen: the formation, its instances, the last lines of the chosen one, keys that change things, and dialogs.

It decides nothing and never blocks: data comes from threads (`feed`), and requests to procman are made in a thread,
too. A verb can do everything that it can.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

from textual.app import App, SuspendNotSupported
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Log, Static

from procman.cli.live.instances import Instances
from procman.cli.show.instances import REASON, cells, size
from procman.control.client import Client
from procman.errors import ProcmanError
from procman.observe.feed import LINES, FormationFeed, PolledFormation, Tail
from procman.text.lines import clean

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from procman.observe.listing import Listing, Row

THEME = "ansi-dark"
"""The terminal's own colours, which its owner can read on any background. Styles below reset what this theme inherits
from a dark one.
"""

KEYS = [
    ("up, down, j, k", "choose an instance; PgUp, PgDn, g, G go further"),
    ("Tab", "to the output, to scroll it, and back"),
    ("+, -", "one more, one fewer of the type"),
    ("r", "restart the instance; starts a stopped one"),
    ("s", "stop the instance, after a confirmation"),
    ("a", "attach to the instance (procman attach)"),
    ("/", "show only names that contain a text; Esc shows all"),
    ("?", "these keys"),
    ("q, Ctrl-C", "leave; Ctrl-Z suspends"),
]


class Top(App[None]):
    """Its `return_code` is the exit code."""

    TITLE = "procman top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    * {
        scrollbar-background: ansi_default; scrollbar-background-hover: ansi_default;
        scrollbar-background-active: ansi_default; scrollbar-corner-color: ansi_default;
        scrollbar-color: ansi_bright_black; scrollbar-color-hover: ansi_bright_black;
        scrollbar-color-active: ansi_blue;
    }
    #head, #title { height: 1; padding: 0 1; text-style: bold; }
    #head.trouble { color: ansi_red; }
    Instances { height: 1fr; min-height: 4; scrollbar-size: 0 1; }
    Instances > .datatable--header { background: ansi_default; text-style: bold underline; }
    Instances > .datatable--cursor { background: ansi_default; color: ansi_default; text-style: reverse; }
    Log { height: 1fr; min-height: 3; padding: 0 1; scrollbar-size: 0 1; }
    #title { border-top: solid ansi_default; height: 2; }
    #filter { display: none; height: 1; border: none; padding: 0 1; }
    Footer, FooterKey, FooterKey .footer-key--key { background: ansi_default; color: ansi_default; }
    FooterKey .footer-key--key { text-style: bold; }
    ModalScreen { align: center middle; background: ansi_default; }
    .dialog { width: auto; max-width: 90%; height: auto; max-height: 100%; padding: 0 2; border: round ansi_default; }
    .dialog Static { width: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "keys", "Keys", key_display="?"),  # first, as a narrow screen cuts the last ones off
        Binding("q", "leave", "Quit"),
        Binding("plus,equals_sign", "scale(1)", "Scale up", key_display="+"),
        Binding("minus", "scale(-1)", "Scale down", key_display="-"),
        Binding("r", "restart", "Restart"),
        Binding("s", "stop", "Stop"),
        Binding("a", "attach", "Attach"),
        Binding(
            "slash", "filter", "Filter", key_display="/", priority=True
        ),  # before the keys that follow are handed on
        Binding("ctrl+c", "leave", show=False, key_display="Ctrl-C", priority=True),
        Binding("ctrl+z", "suspend_process", show=False, key_display="Ctrl-Z"),
        Binding("escape", "no_filter", show=False),
    ]

    class Polled(Message):
        """There is a new poll of the formation."""

    class Wrote(Message):
        """The followed instance has written."""

        def __init__(self, tail: Tail) -> None:
            super().__init__()
            self.tail = tail

    class Answered(Message):
        """The result of a request; "" in `trouble` where it was accepted."""

        def __init__(self, trouble: str) -> None:
            super().__init__()
            self.trouble = trouble

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._feed = FormationFeed(path, lambda: self.post_message(self.Polled()))
        self._tail: Tail | None = None
        self._listing: Listing | None = None
        self._filter = ""
        self._lost = False

    # ---- the screen

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Instances()
        yield Static(id="title", markup=False)
        yield Log(max_lines=LINES)
        yield Input(id="filter", placeholder="names that contain …", compact=True)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        self.theme = THEME
        self._instances.focus()
        self._feed.start()

    def on_unmount(self) -> None:
        self._feed.end()
        if self._tail is not None:
            self._tail.end()

    @property
    def _instances(self) -> Instances:
        return self.query_one(Instances)

    # ---- what comes

    def on_top_polled(self) -> None:
        seen = self._feed.take()
        if seen is None:
            return
        head = self.query_one("#head", Static)
        self._lost = seen.listing is None
        head.set_class(self._lost, "trouble")
        if seen.listing is None:
            head.update(clean(f"{seen.trouble}; trying again"))
            return
        self._listing = seen.listing
        head.update(headline(seen, seen.listing))
        self._show()

    def _show(self) -> None:
        rows = self._listing.instances if self._listing is not None else []
        self._instances.show([row for row in rows if self._filter in row.name])
        self._show_title(self._chosen)

    def _show_title(self, row: Row | None) -> None:
        """Show the chosen instance with its reason, for which a narrow screen has no column."""
        reason = cells(row)[REASON] if row is not None else ""
        name = row.name if row is not None else ""
        self.query_one("#title", Static).update(f"{name}: {reason}" if reason else name)

    def on_instances_chosen(self, message: Instances.Chosen) -> None:
        if self._tail is not None:
            self._tail.end()
            self._tail = None
        self.query_one(Log).clear()
        self._show_title(message.row)
        if message.row is not None:
            tail = Tail(self._path, message.row.name, lambda: self.post_message(self.Wrote(tail)))
            self._tail = tail
            tail.start()

    def on_top_wrote(self, message: Wrote) -> None:
        if message.tail is not self._tail:
            return
        anew, lines = message.tail.take()
        log = self.query_one(Log)
        if anew:
            log.clear()
        log.write_lines(lines)

    # ---- what is asked for

    def _ask(self, what: Callable[[Client], object]) -> None:
        threading.Thread(target=self._asking, args=[what], daemon=True).start()

    def _asking(self, what: Callable[[Client], object]) -> None:
        try:
            with Client(self._path) as client:
                what(client)
        except ProcmanError as error:
            self.post_message(self.Answered("; ".join(error.lines())))
        else:
            self.post_message(self.Answered(""))

    def on_top_answered(self, message: Answered) -> None:
        if message.trouble:
            self.notify(clean(message.trouble), severity="error", markup=False)
        self._feed.now()

    @property
    def _chosen(self) -> Row | None:
        return self._instances.chosen

    def action_scale(self, by: int) -> None:
        row = self._chosen
        if row is not None:
            self._ask(lambda client: client.scale(by={row.type: by}))

    def action_restart(self) -> None:
        row = self._chosen
        if row is not None:
            self._ask(lambda client: client.restart([row.name]))

    def action_stop(self) -> None:
        row = self._chosen
        if row is None:
            return

        def answered(yes: bool | None) -> None:  # noqa: FBT001  textual's signature
            if yes:
                self._ask(lambda client: client.stop([row.name]))

        self.push_screen(Question(f"Stop {row.name}?"), answered)

    def action_attach(self) -> None:
        row = self._chosen
        if row is None:
            return
        try:
            with self.suspend():
                done = subprocess.run(attach_command(row.name, self._path), stderr=subprocess.PIPE, check=False)  # noqa: S603  procman itself
        except SuspendNotSupported:
            self.notify("cannot attach: this screen cannot be suspended", severity="error", markup=False)
            return
        said = done.stderr.decode(errors="replace").replace("procman: ", "").strip()
        if done.returncode and said:
            self.notify(clean(said), severity="error", markup=False)

    # ---- the screen's own

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = True  # at once: a key that follows must not wait for the style
        self.screen.set_focus(field)

    def on_input_changed(self, message: Input.Changed) -> None:
        self._filter = message.value
        self._show()

    def on_input_submitted(self) -> None:
        self.query_one("#filter", Input).display = bool(self._filter)
        self._instances.focus()

    def action_no_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self._instances.focus()

    def action_keys(self) -> None:
        self.push_screen(Keys(KEYS))

    def action_leave(self) -> None:
        self.exit(return_code=3 if self._lost else 0)


class Question(ModalScreen[bool]):
    """A yes-or-no question."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y,enter", "dismiss(True)", "Yes"),
        ("n,escape,q", "dismiss(False)", "No"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._text, markup=False)
            yield Static("\ny, Enter: yes    n, Esc: no", markup=False)


class Keys(ModalScreen[None]):
    """Every key and what it does. Any key closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,enter,question_mark", "dismiss", "Close")]

    def __init__(self, rows: list[tuple[str, str]]) -> None:
        super().__init__()
        self._rows = rows

    def compose(self) -> ComposeResult:
        width = max(len(key) for key, _ in self._rows) + 2
        room = max(self.app.size.width * 9 // 10 - 6 - width, 20)  # without the dialog's border and padding
        lines = [
            f"{key if number == 0 else '':<{width}}{line}"
            for key, what in self._rows
            for number, line in enumerate(textwrap.wrap(what, room))
        ]
        with Vertical(classes="dialog"):
            yield Static("\n".join(lines), markup=False)
            yield Static("\nEsc: close", markup=False)


def headline(seen: PolledFormation, listing: Listing) -> str:
    """`app: CPU 3.1 %, 120 MB; web 2, worker 1`: the name of the root first, and last what may be long."""
    rollouts = {one.type: f" (rollout {one.rollout})" for one in listing.types if one.rollout}
    counts = ", ".join(f"{name} {count}{rollouts.get(name, '')}" for name, count in listing.formation.items())
    cpu = sum(row.cpu or 0.0 for row in listing.instances)
    memory = sum(row.memory or 0 for row in listing.instances)
    state = "stopping; " if seen.stopping else ""
    return clean(f"{os.path.basename(seen.root) or seen.root}: {state}CPU {cpu:.1f} %, {size(memory)}; {counts}")


def attach_command(name: str, path: str) -> list[str]:
    """The command line of the same procman, whatever PATH says and whatever is in the current folder (-P)."""
    return [sys.executable, "-P", "-m", "procman", "attach", name, "--socket", path]
