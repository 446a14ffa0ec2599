"""Advice for people who type what another tool understands. Used only where a command line was refused.

Pure: takes the words that were typed, returns a better message and a hint. The hint repeats the words as procman takes
them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


class Advice(Struct, frozen=True):
    """A hint, and a message that replaces the refusal ("": it is good enough)."""

    hint: str
    message: str = ""


LISTING = "`procman ps{}` lists the instances"
ENDING = "`procman shutdown` stops everything and ends procman; `procman stop NAME` stops instances"

REMOVING = "`procman scale NAME=0` removes the instances of a type"
SERVICE = "systemd starts it at boot: a unit for `procman start` is in docs/how-to/systemd.md"

SYNONYMS = {
    "status": LISTING,
    "stat": LISTING,
    "stats": LISTING,
    "state": LISTING,
    "list": LISTING,
    "ls": LISTING,
    "show": LISTING,
    "up": "`procman start{}` runs the formation, with --detach in the background",
    "serve": "`procman start{}` runs the formation",
    "down": ENDING,
    "quit": "`procman shutdown` stops everything and ends procman",
    "exit": "`procman shutdown` stops everything and ends procman",
    "halt": "`procman shutdown` stops everything and ends procman",
    "end": ENDING,
    "kill": "`procman stop{}` stops instances; `procman signal KILL NAME` sends a signal",
    "interrupt": "`procman stop{}` stops instances; `procman signal INT NAME` sends a signal",
    "tail": "`procman logs -f{}` follows the output",
    "echo": "`procman logs -f{}` follows the output",
    "log": "`procman logs{}` shows the output",
    "output": "`procman logs{}` shows the output",
    "connect": "`procman attach{}` connects the keyboard to an instance",
    "console": "`procman attach{}` connects the keyboard to an instance",
    "fg": "`procman attach{}` connects the keyboard to an instance",
    "maintail": "`procman logs system` shows procman's own lines, `procman logs -f` follows all output",
    "exec": "`procman run{}` runs a one-off command in the application's environment",
    "shell": "`procman run sh` runs a shell in the application's environment",
    "version": "`procman --version` prints it",
    "update": "`procman reload` reads the Procfile again; `procman upgrade` replaces procman itself",
    "refresh": "`procman reload` reads the Procfile again",
    "reread": "`procman reload` reads the Procfile again",
    "validate": "`procman check{}` checks the Procfile",
    "lint": "`procman check{}` checks the Procfile",
    "config": "`procman check{}` prints the types and what is wrong",
    "monit": "`procman top` is a live screen",
    "monitor": "`procman top` is a live screen",
    "dashboard": "`procman top` is a live screen",
    "watch": "`procman ps --watch` shows the table in place; `procman start --watch` restarts what has changed",
    "delete": REMOVING,
    "remove": REMOVING,
    "rm": REMOVING,
    "del": REMOVING,
    "add": "`procman scale NAME+1` adds an instance of a type",
    "import": "`procman init --from FILE` makes a Procfile of another supervisor's file",
    "convert": "`procman init --from FILE` makes a Procfile of another supervisor's file",
    "new": "`procman init` writes a Procfile for the folder",
    "create": "`procman init` writes a Procfile for the folder",
    "export": "there is no export yet; a unit of systemd runs `procman start` (docs/how-to/systemd.md)",
    "startup": SERVICE,
    "install": SERVICE,
    "enable": SERVICE,
    "disable": SERVICE,
    "save": "write the counts into `formation:` of procman.yml: `procman scale` prints them",
    "dump": "write the counts into `formation:` of procman.yml: `procman scale` prints them",
    "pid": "`procman ps{}` lists the instances with their pids",
    "port": "`procman ps{}` lists the instances with their ports",
    "describe": "`procman why{}` says what an instance waits for and what comes next; `procman ps --json{}` has all of it",
    "info": "`procman why{}` says what an instance waits for and what comes next; `procman ps --json{}` has all of it",
    "inspect": "`procman why{}` says what an instance waits for and what comes next; `procman ps --json{}` has all of it",
    "avail": "`procman check` lists the types of the Procfile",
    "doctor": "`procman check` checks the Procfile, and says what the machine lacks",
    "clear": "procman rotates its log files itself (`--log-max-bytes`); `procman logs -f -n 0` shows only what is new",
    "flush": "procman rotates its log files itself (`--log-max-bytes`); `procman logs -f -n 0` shows only what is new",
    "pause": "`procman stop{}` stops instances, `procman restart{}` starts them again",
    "resume": "`procman restart{}` starts instances that were stopped",
    "unpause": "`procman restart{}` starts instances that were stopped",
    "process": "the verbs follow `procman` itself: `procman ps`, `procman scale web=3`, `procman logs`",
    "completion": 'for bash: eval "$(_PROCMAN_COMPLETE=bash_source procman)"; zsh and fish are in docs/reference/cli.md',
    "build": "procman builds nothing: `procman run COMMAND` runs a command in the application's environment",
    "ctl": "the verbs follow `procman` itself: `procman ps`",
}
"""Verbs of foreman, honcho, overmind, supervisorctl, PM2, Docker Compose and systemctl. `{}` stands for the words after
the verb.
"""

SHORT = {
    "s": SYNONYMS["up"],
    "r": "`procman restart{}` restarts instances",
    "i": SYNONYMS["interrupt"],
    "c": SYNONYMS["connect"],
    "q": SYNONYMS["quit"],
    "k": SYNONYMS["kill"],
    "e": SYNONYMS["exec"],
    "l": SYNONYMS["list"],
}
"""Verbs of one letter, as overmind and PM2 have them. No typing error is taken for one of these."""

FOLLOW = ("-f", "-F", "--follow")
"""Words after `tail` that mean the same as the option."""

STREAMS = ("stdout", "stderr")
"""Words after the name in supervisord's `tail`: procman keeps both in one."""

DAEMON = "it stays in the foreground, as service managers want it; --detach sends it to the background"
ENDS = "--exit-on TYPE ends everything with the first end of that type, --no-restart with the first end of any"
ONLY = "name the types: `procman start web worker`; --except leaves some out"
DETACH = "--detach sends it to the background once everything is ready"
LINES = "-n N shows only the last N lines"
ALL_SHOWN = "instances that are stopped are listed as well"
AS_JSON = "--json prints all of it for programs: `procman ps --json`"
FOLLOWS = "it shows every change until you press Ctrl-C: `procman events`"
COUNTS = "counts need no option: `procman scale web=2`"
SIGNAL = "write `stop: {signal: INT}` under the type in procman.yml"
GRACE = "the time until KILL is `stop: {grace: …}` in procman.yml, or --timeout of `procman start`"

OPTIONS: dict[str, dict[str, str]] = {
    "start": {
        **dict.fromkeys(("-l", "--processes", "--only", "--services"), ONLY),
        **dict.fromkeys(("--daemon", "--daemonize", "--background", "--wait"), DETACH),
        **dict.fromkeys(("-n", "--nodaemon", "--no-daemon", "--foreground"), DAEMON),
        **dict.fromkeys(
            ("-k", "--kill-others", "--abort-on-container-exit", "--exit-code-from", "--abort-on-exit"), ENDS
        ),
        **dict.fromkeys(("--instances", "--scale", "--replicas"), "-m web=4 gives the counts"),
        "-i": f"-m web=4 gives the counts; to set a stop signal, {SIGNAL}",
        **dict.fromkeys(
            ("-r", "--auto-restart", "--restart"), "what crashes is restarted, unless you say --no-restart"
        ),
        **dict.fromkeys(
            ("--can-die", "--any-can-die"),
            "an end does not end the others, unless you say --exit-on",
        ),
        **dict.fromkeys(("-x", "--ignored-processes", "--exclude"), "--except worker leaves a type out"),
        "--stop-signals": SIGNAL,
        **dict.fromkeys(("--env-file", "--dotenv"), "-e FILE, or --env FILE, reads another file than .env"),
        **dict.fromkeys(("-o", "--logfile", "--log-file", "--output"), "--log-dir DIR writes a file for each instance"),
        **dict.fromkeys(("--stop-timeout", "--shutdown-timeout", "--grace"), "-t SECONDS is the time until KILL"),
        "-N": "did you mean '--no-port'?",
        "-P": "did you mean '--port-step'?",
        "-H": "did you mean '--shell'?",
        "-s": "did you mean '--socket'?",
        "-T": "each line has its time, unless you say --no-timestamps",
        **dict.fromkeys(
            ("--restart-delay", "--delay", "--backoff"), "write `restart: {delay: 2}` under the type in procman.yml"
        ),
        "-X": "--except worker leaves a type out; `procman scale worker=1` starts it later",
        "-b": "each type has a colour of its own; --color never shows none",
        "--max-memory-restart": "write `recycle: {memory: 512MB}` under the type in procman.yml",
    },
    "logs": {
        **dict.fromkeys(("--tail", "--num", "--head"), LINES),
        **dict.fromkeys(("--since", "--until"), f"each line has its time; {LINES}"),
        **dict.fromkeys(("-t", "--timestamps"), "each line has its time"),
    },
    "ps": dict.fromkeys(("-a", "--all", "-A", "-e"), ALL_SHOWN)
    | dict.fromkeys(("-q", "--quiet", "-o", "--output", "--format"), AS_JSON),
    "events": dict.fromkeys(("-f", "--follow"), FOLLOWS),
    "scale": dict.fromkeys(("-m", "--formation", "-c", "--concurrency"), COUNTS),
    "stop": dict.fromkeys(("-t", "--timeout", "--time"), GRACE)
    | {"-s": "`procman signal INT NAME` sends another signal", "-a": "did you mean '--all'?"},
    "restart": dict.fromkeys(("-t", "--timeout", "--time"), GRACE)
    | dict.fromkeys(("-a", "--all"), "without a name it restarts them all: `procman restart`")
    | {"--update-env": "`procman reload` reads .env again"},
    "run": {"--rm": "a one-off leaves nothing behind"},
}
"""Options of the same tools, by verb."""

ALL = {
    "start": "without a type it starts them all: `procman start`",
    "restart": "without a name it restarts them all: `procman restart`",
    "stop": "that is an option: `procman stop --all`",
    "logs": "without a name it shows the output of all: `procman logs{}`",
    "ps": "without a name it lists them all: `procman ps`",
    "scale": "name each type: `procman scale` prints them",
    "signal": "a pattern names them all: `procman signal {} '*'`",
    "wait": "without a name it waits for all: `procman wait`",
}
"""What to say for `all`, which names no type, by verb."""

NAMELESS = {
    "reload": "it restarts only what has changed, of all types; `procman restart {}` restarts that in any case",
    "shutdown": "it ends procman and everything; `procman stop {}` stops only that",
    "upgrade": "it replaces procman itself; `procman reload` applies a changed Procfile",
    "init": "write `procman init --from {}`",
    "events": "it shows the changes of all; `procman logs -f {}` follows that",
    "top": "it shows all instances; `/` filters them",
}
"""What to say for a name after a verb that takes none."""

EXAMPLES = {
    "run": "such as `procman run python3 manage.py migrate`, or a type: `procman run release`",
    "attach": "name an instance, such as `procman attach web.1`; `procman ps` lists them",
    "why": "name an instance, such as `procman why web.1`; `procman ps` lists them",
    "signal": "name a signal and instances, such as `procman signal HUP web`",
}
"""What to say for a verb without the words that it needs."""

_SIGNALS = frozenset(
    ("HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "WINCH")
)
_PROCFILE = re.compile(r"(.*/)?procfile(\.|$)", re.IGNORECASE)
_ODD_CHANGE = r"(?P<name>[\w-]+?)(?P<sign>:=?|==|=\+|=-|\+=|-=|\*|=?x)(?P<count>\d+)"


def of_unknown_verb(words: Sequence[str]) -> str:
    """The hint for an unknown verb; "" where there is none."""
    verb = words[0].lower()
    rest = [word for word in words[1:] if word not in FOLLOW and word not in STREAMS]
    names = [] if any(word.startswith("-") for word in rest) else rest  # options have other meanings there
    if verb in ("kill", "k"):
        signal, named = _signal_and_names(rest)
        if signal:
            return f"`procman signal {signal} {' '.join(named) or 'NAME'}` sends it; `procman stop` stops instances for good"
        names = names or ["--all"]
    hint = SYNONYMS.get(verb) or SHORT.get(verb, "")
    return hint.replace("{}", "".join(f" {name}" for name in names))


def of_misspelt_verb(words: Sequence[str], verbs: Iterable[str]) -> str:
    """The hint for a verb with a typing error, ours or another tool's; "" where nothing is similar."""
    word = words[0].lower()
    if _PROCFILE.match(word):
        return f"`procman start -f {words[0]}` runs what it says"
    known = [*verbs, *SYNONYMS]
    swapped = next((name for name in known if sorted(name) == sorted(word)), "")
    near = f"did you mean '{swapped}'?" if swapped else nearest(word, known)
    meant = near.removeprefix("did you mean '").removesuffix("'?")
    return of_unknown_verb([meant, *words[1:]]) or (near if meant in known else "")


def of_unknown_option(verb: str, option: str) -> str:
    """The hint for an unknown option of a verb; "" where there is none."""
    return OPTIONS.get(verb, {}).get(option, "")


def of_early_option(words: Sequence[str], verbs: Iterable[str]) -> str:
    """The hint for an option in front of the verb, where foreman, honcho and supervisorctl take theirs."""
    if words[0] in ("-v", "-version"):
        return SYNONYMS["version"]
    known = {*verbs, *SYNONYMS}
    at = next((n for n, word in enumerate(words) if word in known), None)
    if at is None:
        return of_unknown_option("start", words[0]) or f"options follow the verb: `procman start {words[0]}`"
    if words[at] in SYNONYMS:
        return of_unknown_verb(words[at:])
    return f"options follow the verb: `procman {' '.join([words[at], *words[:at], *words[at + 1 :]])}`"


def of_refused(words: Sequence[str], message: str, verbs: Collection[str] = ()) -> Advice | None:
    """The advice for a command line that was refused with this message; None where there is nothing better to say."""
    verb, *rest = words or ("",)
    plain = [word for word in rest if not word.startswith("-")]
    match verb:
        case "scale" if (changes := _meant_changes([word for word in rest if not _is_option(word)])) is not None:
            return Advice(f"write `procman scale {changes}`", f"cannot use '{' '.join(rest)}' as counts")
        case "signal" if "understand" in message and (found := _signal_and_names(rest))[0]:
            signal, names = found
            return Advice(f"the signal comes first, without '-': `procman signal {signal} {' '.join(names) or 'NAME'}`")
        case "signal" if len(plain) > 1 and not _is_signal(plain[0]) and _is_signal(plain[-1]):
            *names, name = plain
            return Advice(
                f"the signal comes first: `procman signal {name} {' '.join(names)}`",
                f"cannot send '{names[0]}': no such signal",
            )
        case _ if verb in ALL and "'all'" in message and "all" in (re.split(r"[=+]", word)[0] for word in plain):
            others = " ".join(word for word in rest if word != "all")
            return Advice(ALL[verb].replace("{}", f" {others}" if others and verb != "signal" else others))
        case "start" | "check" if file := _named(message, (word for word in plain if _PROCFILE.match(word))):
            return Advice(f"-f names a file: `procman {verb} -f {file}`")
        case "start" | "check" if several := _named(message, (word for word in plain if "," in word)):
            return Advice(f"write blanks between the types: `procman {verb} {several.replace(',', ' ')}`")
        case "start" if other := _named(message, (word for word in plain if word in verbs)):
            image = f"in an image: `docker run --entrypoint procman IMAGE {other}`"
            return Advice(f"`procman {other}` is a verb of its own, without start ({image})")
        case "logs" if "'procman'" in message and "procman" in plain:
            return Advice("`procman logs system` shows procman's own lines")
        case _ if verb in NAMELESS and plain and "unexpected extra argument" in message:
            return Advice(
                NAMELESS[verb].replace("{}", " ".join(plain)),
                f"cannot use '{plain[0]}': `procman {verb}` takes no name",
            )
        case _:
            return None


def _named(message: str, words: Iterable[str]) -> str:
    """The first of the words that the message names."""
    return next((word for word in words if f"'{word}'" in message), "")


def _meant_changes(words: Sequence[str]) -> str | None:
    """`web 3 worker:2` as `web=3 worker=2`, `web` as `web=N`; None where all words are understood as they are, or none
    is.
    """
    meant: list[str] = []
    at = 0
    while at < len(words):
        word, following = words[at], words[at + 1 : at + 2]
        odd = re.fullmatch(_ODD_CHANGE, word)
        if odd:
            sign = {"=+": "+", "+=": "+", "=-": "-", "-=": "-"}.get(odd["sign"], "=")
            meant.append(f"{odd['name']}{sign}{odd['count']}")
        elif word.startswith("--"):
            meant.append(word[2:])
        elif word.rstrip("=:").isidentifier() and following and following[0].lstrip("=").isdecimal():
            meant.append(f"{word.rstrip('=:')}={following[0].lstrip('=')}")
            at += 1
        elif "=" in word or "+" in word or "-" in word:
            meant.append(word)
        elif word.isidentifier():
            meant.append(f"{word}=N")
        else:
            return None
        at += 1
    return " ".join(meant) if meant != list(words) else None


def _is_signal(word: str) -> bool:
    return word.upper().removeprefix("SIG") in _SIGNALS


def _is_option(word: str) -> bool:
    """Whether it is an option, and no count that somebody wrote as one: `--web=2`."""
    return word.startswith("-") and (word.startswith("--wait=") or re.fullmatch(r"--[\w-]+=\d+", word) is None)


def _signal_and_names(words: Sequence[str]) -> tuple[str, list[str]]:
    """`-9 web`, `-s HUP web` or `-HUP web` as ("9", ["web"]); ("", []) where there is no such signal."""
    rest = [word for word in words if word not in ("-s", "-n", "--signal")]
    signal = next(
        (word for word in rest if _is_signal(word.lstrip("-")) or (word.startswith("-") and word[1:].isdecimal())), ""
    )
    if not signal or (len(rest) == len(words) and not signal.startswith("-")):
        return "", []
    return signal.lstrip("-"), [word for word in rest if word != signal]
