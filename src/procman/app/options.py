"""The options of the verbs that read the inputs themselves (start, check, run): their names and types.

`cli.line` parses them, with click or without, and makes one value of them: `StartOptions`, or `Options` for the inputs
alone. The options of verbs that talk to a running procman are in `cli.target`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from procman.config.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

Value: TypeAlias = Any
"""The value of an option: a str, int, float, bool, a tuple of str, or None. The parser of the command line checks it.
"""


class OutputOptions(Struct, frozen=True, kw_only=True):
    """What the command line says about how the output looks and how much of it is kept."""

    log_format: str
    timestamps: bool | None
    no_prefix: bool
    quiet: tuple[str, ...]
    color: str
    history: int
    split_streams: bool
    log_dir: str | None
    log_max_bytes: int
    log_keep: int


class StartOptions(Struct, frozen=True, kw_only=True):
    """All options of `start`. The parser of the command line makes it, and `app.run` carries it out."""

    inputs: Options
    output: OutputOptions
    socket: str | None
    name: str
    watch: bool
    detach: bool
    forget: bool = False
    then: str | None = None
    words: tuple[str, ...] = ()
    """The words after `--`: a command, word by word, as `then` is a line."""


class OptionKind(Enum):
    """The type of an option, by how it is read."""

    TEXT = auto()
    TEXTS = auto()
    """Repeatable."""
    NAMES = auto()
    """Repeatable; each may hold several, separated by commas or spaces."""
    FLAG = auto()
    SWITCH = auto()
    """`--it` and `--no-it`; None if neither is given."""
    INTEGER = auto()
    COUNT = auto()
    """An integer from 0."""
    SECONDS = auto()
    MEBIBYTES = auto()
    """A number of MiB, or a size."""
    SIZE = auto()
    """Bytes: `50M`, `1G`, `4096`."""
    CHOICE = auto()
    """One of the words in `metavar`."""


REPEATABLE = (OptionKind.TEXTS, OptionKind.NAMES)
SWITCHES = (OptionKind.FLAG, OptionKind.SWITCH)


class Option(Struct, frozen=True):
    """An option. `names` include the dashes; the first long one is also the name of the value, and a switch is written
    `--it/--no-it`.

    `default` is the value as text; None if there is none, or if the help text explains it.
    """

    names: tuple[str, ...]
    help: str
    kind: OptionKind = OptionKind.TEXT
    metavar: str | None = None
    default: str | None = None
    types: bool = False
    """Whether the shell completes process types."""

    @property
    def name(self) -> str:
        long = next(name for name in self.names if name.startswith("--"))
        return long.partition("/")[0].removeprefix("--").replace("-", "_")

    @property
    def choices(self) -> list[str]:
        assert self.metavar is not None
        return self.metavar.split("|")


FILES = (
    Option(("-f", "--procfile"), "The Procfile; - is standard input.  [default: Procfile]", OptionKind.TEXT, "FILE"),
    Option(("-d", "--root"), "The application's folder.  [default: the Procfile's]", OptionKind.TEXT, "DIR"),
    Option(("--config",), "Settings of the types.  [default: procman.yml, if it exists]", OptionKind.TEXT, "FILE"),
    Option(("-e", "--env"), "Read this file instead of .env; repeatable, later files win.", OptionKind.TEXTS, "FILE"),
    Option(("--env-overrides",), "Let .env win over the environment that procman was started in.", OptionKind.FLAG),
    Option(("--shell",), "The shell for commands that need one.  [default: /bin/sh]", OptionKind.TEXT, "PATH"),
)
FORMATION = (
    Option(
        ("-m", "--formation", "-c", "--concurrency"),
        "How many instances of each type; all=N sets the others.",
        OptionKind.TEXTS,
        "TYPE=N,...",
        types=True,
    ),
    Option(("--except",), "Do not start these types; their count is 0.", OptionKind.NAMES, "TYPE,...", types=True),
    Option(("--release",), "Run the type release to success before anything else.", OptionKind.FLAG),
    Option(("-p", "--port"), "The first type's port.  [default: PORT, else 5000]", OptionKind.INTEGER, "N"),
    Option(
        ("--port-step",), "Distance of the ports from one type to the next.  [default: 100]", OptionKind.INTEGER, "N"
    ),
    Option(("--no-port",), "Do not set PORT.", OptionKind.FLAG),
    Option(("-t", "--timeout"), "Time from the stop signal to KILL.  [default: 10]", OptionKind.SECONDS, "SECONDS"),
)
SUPERVISION = (
    Option(("--max-restarts",), "Stop restarting an instance after N restarts in a row.", OptionKind.INTEGER, "N"),
    Option(("--no-restart",), "End everything when the first process ends, with its exit code.", OptionKind.FLAG),
    Option(("--exit-on",), "End everything when one of these types ends.", OptionKind.NAMES, "TYPE,...", types=True),
)
OUTPUT = (
    Option(("--log-format",), "Lines of text, or one JSON object per line.", OptionKind.CHOICE, "text|json", "text"),
    Option(
        ("--timestamps/--no-timestamps",), "The time before each line.  [default: on; off as PID 1]", OptionKind.SWITCH
    ),
    Option(("--no-prefix",), "Lines as the processes write them, without time and name.", OptionKind.FLAG),
    Option(("-q", "--quiet"), "Show no output of these types.", OptionKind.NAMES, "TYPE,...", types=True),
    Option(("--color",), "Show each type in a colour of its own.", OptionKind.CHOICE, "auto|always|never", "auto"),
    Option(
        ("--history",), "Output kept for `logs`, of all instances.  [default: 32]", OptionKind.MEBIBYTES, "MIB", "32"
    ),
    Option(("--log-dir",), "Also write a file for each instance into this folder: web.1.log.", OptionKind.TEXT, "DIR"),
    Option(
        ("--log-max-bytes",),
        "Rotate a file before it is larger than this; 0: never.  [default: 10M]",
        OptionKind.SIZE,
        "SIZE",
        "10M",
    ),
    Option(("--log-keep",), "Rotated files to keep.  [default: 5]", OptionKind.COUNT, "N", "5"),
    Option(
        ("--tty/--no-tty",),
        "A terminal of its own for each instance.  [default: on if standard output is a terminal]",
        OptionKind.SWITCH,
    ),
    Option(("--split-streams",), "Keep stdout and stderr apart (json lines then name the stream).", OptionKind.FLAG),
)
PROCMAN = (
    Option(("--socket",), "The control socket.  [default: one per folder, see docs]", OptionKind.TEXT, "PATH"),
    Option(
        ("--name",),
        "A name for this formation, to run several in a folder; PROCMAN_NAME sets it for all verbs.",
        OptionKind.TEXT,
        "NAME",
    ),
    Option(("--forget",), "Forget the counts that `keep_counts: true` has kept.", OptionKind.FLAG),
    Option(("--watch",), "Restart the types whose files change.", OptionKind.FLAG),
    Option(
        ("--then",),
        "Run this once all is ready or done, then stop everything and end with its exit code; also as words after --.",
        OptionKind.TEXT,
        "COMMAND",
    ),
    Option(("-D", "--detach"), "Go to the background once everything is ready or done.", OptionKind.FLAG),
)
START = FILES + FORMATION + SUPERVISION + OUTPUT + PROCMAN

TYPES = "types"
"""The argument of the verbs that take FORMATION: any number of process types."""

WORDS = "words"
"""The words after `--`, if any."""

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
"""Units that are read without another module."""


def size(word: str) -> int:
    """Bytes: a number of them, or a size as in procman.yml. Raises ValueError."""
    word = word.strip().upper()
    digits, unit = (word[:-1], word[-1:]) if word[-1:] in UNITS else (word, "")
    if digits.isascii() and digits.isdecimal():
        return int(digits) * UNITS[unit]
    from procman.text.quantities import read_size  # noqa: PLC0415  `512MB`, `1GiB`: few are written so

    return read_size(word)


def mebibytes(word: str) -> int:
    """MiB, rounded up: a number of them, or a size. Raises ValueError."""
    word = word.strip()
    return int(word) if word.isascii() and word.isdecimal() else -(-size(word) // UNITS["M"])


def split(values: tuple[str, ...]) -> tuple[str, ...]:
    """Names that are given one by one, or separated by commas or spaces."""
    return tuple(name for value in values for name in value.replace(",", " ").split())


FIELDS = {"env": "env_files", "except": "leave_out"}
"""Fields of `Options` whose name differs from that of their option."""


def input_options(values: Mapping[str, Value]) -> Options:
    """The values that belong to the inputs, among values by option name."""
    named = {FIELDS.get(name, name): value for name, value in values.items()}
    return Options(**{field: named[field] for field in Options.__struct_fields__ if field in named})


def start_options(values: Mapping[str, Value]) -> StartOptions:
    """The values of all options in `START`, by option name, as one value."""
    return StartOptions(
        inputs=input_options(values),
        output=OutputOptions(**{field: values[field] for field in OutputOptions.__struct_fields__}),
        socket=values["socket"],
        name=values["name"] or "",
        watch=values["watch"],
        detach=values["detach"],
        forget=values["forget"],
        then=values["then"],
        words=values.get(WORDS, ()),
    )
