"""Advice for people who type what another tool understands. Used only where a command line was refused.

Pure: takes the words that were typed, returns a better message and a hint. The hint repeats the words as procman takes
them.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.cli.line.foreign import (
    ALL,
    COMMANDS,
    FOLLOW,
    FORMATS,
    HARMLESS,
    INSIDE,
    INTERPRETERS,
    KINDS,
    NAMELESS,
    NEEDLESS,
    OPTIONS,
    PROGRAMS,
    REWRITTEN,
    SHORT,
    STREAMS,
    SYNONYMS,
    TOOLS,
    VALUED,
)
from procman.errors import nearest
from procman.text.shell import SHELLS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


class Advice(Struct, frozen=True):
    """A hint, and a message that replaces the refusal ("": it is good enough)."""

    hint: str
    message: str = ""


SIMILAR = 0.8
"""How similar a misspelt word must be to another tool's verb, from 0 to 1 (difflib)."""

_SIGNALS = frozenset(
    ("HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "WINCH")
)
_PROCFILE = re.compile(r"(.*/)?procfile(\.|$)", re.IGNORECASE)
_INSTANCE = re.compile(r"[\w-]+(?:\.\d+|#\d+|:\*|:[\w-]+_\d+)")
"""An instance, or all of a type, as procman, overmind and supervisord write it."""
_ODD_CHANGE = r"(?P<name>[\w-]+?)(?P<sign>:=?|==|=\+|=-|\+=|-=|\*|=?x)(?P<count>\d+)"


def of_unknown_verb(words: Sequence[str], types: Collection[str] = ()) -> str:
    """The hint for an unknown verb; "" if there is none. `types` are those of the Procfile, if they are known."""
    verb, rest = words[0].lower(), [word for word in words[1:] if word not in FOLLOW]
    if verb in TOOLS:
        return of_unknown_verb(rest, types) or f"the verbs follow `procman` itself: `procman {' '.join(rest) or 'ps'}`"
    if verb in ("kill", "k"):
        signal, named = _signal_and_names(rest)
        if signal:
            return f"`procman signal {signal} {' '.join(named) or 'NAME'}` sends it; `procman stop` stops instances for good"
    if verb in ("up", "start") and (rewritten := _rewritten(verb, rest)):
        return f"write `procman start {rewritten}`"
    both = " ".join((verb, *rest[:1])).lower()
    hint = SYNONYMS.get(both) or SYNONYMS.get(verb) or SHORT.get(verb, "")
    if verb == "up" and {"-d", "--detach"} & set(rest):
        hint = "`procman start --detach{}` runs the formation in the background"
    if hint.startswith("`procman logs{}`") and set(words[1:]) & set(FOLLOW):
        hint = SYNONYMS["tail"]
    names = _names(verb, rest[1:] if both in SYNONYMS and rest else rest)
    if verb in COMMANDS and len(names) > 1 and names[0].partition(".")[0] in types:
        return f"`procman run {' '.join(names[1:])}` runs it as a one-off; `procman attach {names[0]}` connects the keyboard"
    if verb in ("kill", "k") and not names:
        names, hint = ["--all"], f"{hint}; `procman shutdown` ends procman, too"
    return _filled(hint, names)


def _names(verb: str, words: Sequence[str]) -> list[str]:
    """The names among the words after an unknown verb, as procman writes them; none if they may be values of options."""
    words = [word for word in words if word not in HARMLESS and not re.fullmatch(r"-\d+", word)]
    if any(word.startswith("-") for word in words):
        return []
    if verb in COMMANDS:
        return words
    if verb in ("get", "describe", "delete", "rollout", "explain", "edit", "patch") or len(words) > 1:
        words = [word for word in words if word not in KINDS]
    return [_name(word) for word in words if word not in STREAMS and not word.isdecimal()]


def _name(word: str) -> str:
    """`deployment/web`, `web.service` and `web:*` as `web`; `web#1` and `web:web_00` as `web.1`."""
    word = re.sub(r"^[a-z]+/|\.service$|:\*$", "", word)
    if counted := re.fullmatch(r"(?P<group>[\w-]+):(?P=group)_(?P<at>\d+)", word):  # supervisord counts from 0
        return f"{counted['group']}.{int(counted['at']) + 1}"
    return re.sub(r"#(\d+)$", r".\1", word)


def _filled(hint: str, names: Sequence[str]) -> str:
    """The hint with the names in it."""

    def changes(found: re.Match[str]) -> str:
        return "".join(f" {name.partition('.')[0]}{found[1]}" for name in names or ["NAME"])

    return re.sub(r"\{([=+]\d)\}", changes, hint).replace("{}", "".join(f" {name}" for name in names))


def _rewritten(verb: str, rest: Sequence[str]) -> str:
    """The words after the verb with another tool's option and its value in procman's form; "" without such an option."""
    forms = REWRITTEN.get(verb, {})
    for at, word in enumerate(rest):
        option, joined, value = word.partition("=")
        others = rest[at + 1 :] if joined else rest[at + 2 :]
        value = value if joined else "".join(rest[at + 1 : at + 2])
        if option in forms and value and not value.startswith("-"):
            form = forms[option].replace("{}", value.replace(",", " ") if forms[option] == "{}" else value)
            return " ".join([*rest[:at], form, *others])
    return ""


def of_misspelt_verb(words: Sequence[str], verbs: Iterable[str]) -> str:
    """The hint for a verb with a typing error, ours or another tool's; "" if nothing is similar."""
    word = words[0].lower()
    if _PROCFILE.match(word):
        return f"`procman start -f {words[0]}` runs what it says"
    if word in PROGRAMS or "/" in word:
        return f"`procman run {' '.join(words)}` runs it once; a line of the Procfile, such as `web: {' '.join(words)}`, keeps it running"
    known = [*verbs, *(name for name in SYNONYMS if " " not in name)]
    swapped = next((name for name in known if sorted(name) == sorted(word)), "")
    near = f"did you mean '{swapped}'?" if swapped else nearest(word, known)
    meant = near.removeprefix("did you mean '").removesuffix("'?")
    if meant in SYNONYMS and not swapped and not _similar(word, meant):
        return ""  # most short words are somewhat like another tool's verb
    return of_unknown_verb([meant, *words[1:]]) or (near if meant in known else "")


def _similar(word: str, other: str) -> bool:
    from difflib import SequenceMatcher  # noqa: PLC0415  8 ms at import, as in errors.nearest

    return SequenceMatcher(None, word, other).ratio() >= SIMILAR


def of_unknown_option(verb: str, option: str) -> str:
    """The hint for an unknown option of a verb; "" if there is none."""
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
    """The advice for a command line that was refused with this message; None if there is nothing better to say."""
    verb, *rest = words or ("",)
    plain = [word for word in rest if not word.startswith("-")]
    match verb:
        case _ if "understand the option" in message and (rewritten := _rewritten(verb, rest)):
            return Advice(f"write `procman {verb} {rewritten}`", message)
        case "scale" if changes := _meant_counts(rest):
            return Advice(f"write `procman scale {changes}`", f"cannot use '{' '.join(rest)}' as counts")
        case "signal" if advice := _of_signal(rest, plain, message):
            return advice
        case _ if verb in ALL and "'all'" in message and "all" in (re.split(r"[=+]", word)[0] for word in plain):
            others = " ".join(word for word in rest if word != "all")
            return Advice(ALL[verb].replace("{}", f" {others}" if others and verb != "signal" else others))
        case "start" | "check" if advice := _of_types(verb, rest, message, verbs):
            return advice
        case "run" if variable := _named_variable(message, rest):
            return Advice(f"-e names a file; the shell sets a variable: `{variable} procman run …`")
        case _ if "cannot find an instance" in message and (advice := _of_names(verb, message, plain)):
            return advice
        case "logs" if "'procman'" in message and "procman" in plain:
            return Advice("`procman logs system` shows procman's own lines")
        case _ if verb in NEEDLESS and plain in (["all"], ["now"], ["."], ["*"]) and "unexpected" in message:
            return Advice(NEEDLESS[verb], f"cannot use '{plain[0]}': `procman {verb}` takes no name")
        case _ if verb in NAMELESS and plain and "unexpected extra argument" in message:
            return Advice(
                NAMELESS[verb].replace("{}", " ".join(plain)),
                f"cannot use '{plain[0]}': `procman {verb}` takes no name",
            )
        case _:
            return None


def _of_types(verb: str, rest: Sequence[str], message: str, verbs: Collection[str]) -> Advice | None:
    """The advice for words in place of process types."""
    plain = [word for word in rest if not word.startswith("-")]
    match verb:
        case "start" | "check" if file := _named(message, (word for word in plain if _PROCFILE.match(word))):
            return Advice(f"-f names a file: `procman {verb} -f {file}`")
        case "start" | "check" if several := _named(message, (word for word in plain if "," in word)):
            return Advice(f"separate the types with spaces: `procman {verb} {several.replace(',', ' ')}`")
        case "start" if instance := _named(message, (word for word in plain if _INSTANCE.fullmatch(word))):
            return Advice(f"if procman runs already, `procman restart {_name(instance)}` starts what is stopped")
        case "start" if program := _program(message, plain):
            line = f"run {shlex.join(rest)}"
            image = f"in an image: `docker run -it --entrypoint procman IMAGE {line}`"
            return Advice(f"`procman {line}` runs a command ({image})", f"cannot find the process type '{program}'")
        case "start" if "process type" in message and (
            file := _named(message, (word for word in plain if "." in word))
        ):
            return _of_file(file)
        case "start" if other := _named(message, (word for word in plain if word in verbs)):
            image = f"in an image: `docker run --entrypoint procman IMAGE {other}`"
            return Advice(f"`procman {other}` is a verb of its own, without start ({image})")
        case _:
            return None


def _of_signal(rest: Sequence[str], plain: Sequence[str], message: str) -> Advice | None:
    """The advice for a signal in the wrong place or form."""
    if "understand" in message and (found := _signal_and_names(rest))[0]:
        signal, names = found
        return Advice(f"the signal comes first, without '-': `procman signal {signal} {' '.join(names) or 'NAME'}`")
    if len(plain) == 1 and "no such signal" in message and not plain[0].isupper():
        return Advice(f"the signal comes first, such as `procman signal HUP {plain[0]}`")
    if len(plain) > 1 and not _is_signal(plain[0]) and _is_signal(plain[-1]):
        *names, name = plain
        return Advice(
            f"the signal comes first: `procman signal {name} {' '.join(names)}`",
            f"cannot send '{names[0]}': no such signal",
        )
    return None


def _of_file(file: str) -> Advice | None:
    """The advice for a file in place of a type."""
    if file.endswith(FORMATS):
        return Advice(f"`procman init --from {file}` makes a Procfile of it")
    runner = INTERPRETERS.get(file.rpartition(".")[2])
    return (
        Advice(f"write a line with its command into the Procfile, such as `web: {runner} {file}`") if runner else None
    )


def _of_names(verb: str, message: str, words: Sequence[str]) -> Advice | None:
    """The advice for another tool's name or number of an instance."""
    word = _named(message, words)
    if word.isdecimal():
        return Advice("instances have names, such as web.1: `procman ps` lists them")
    if word and ":" in word and (name := _name(word)) != word:
        return Advice(f"write `procman {verb} {name}`")
    return None


def _program(message: str, words: Sequence[str]) -> str:
    """The program that somebody named in place of a type: the message names it, or reads its -c as counts."""
    if words and words[0] in SHELLS and " as a count" in message:
        return words[0]
    word = _named(message, words) if "process type" in message else ""
    return word if word in INSIDE or ("/" in word and "." not in word) else ""


def _named_variable(message: str, words: Sequence[str]) -> str:
    """`A=1` after -e, if the message says that there is no such file."""
    assigned = (word for word in words if re.match(r"[A-Za-z_]\w*=", word) and f"cannot read {word}:" in message)
    return next(assigned, "")


def _meant_counts(words: Sequence[str]) -> str:
    """The words of `scale` as procman takes them; "" if they are right as they are, or nothing is similar."""
    words = [word for before, word in zip(("", *words), words, strict=False) if before not in VALUED]
    plain, counts = [word for word in words if not _is_option(word)], _counts(words)
    return _meant_changes(counts) or (" ".join(counts) if counts != plain else "")


def _counts(words: Sequence[str]) -> list[str]:
    """The words of `scale` that are counts, with `--replicas=3 web` as `web=3`."""
    plain: list[str] = []
    count = ""
    rest = iter(words)
    for word in rest:
        option, _, value = word.partition("=")
        if option in ("--replicas", "--instances", "-i", "-n"):
            count = value or next(rest, "")
        elif not _is_option(word):
            plain.append(re.sub(r"^[a-z]+/", "", word))
    return [f"{name}={count}" for name in plain] if count else plain


def _named(message: str, words: Iterable[str]) -> str:
    """The first of the words that the message names."""
    return next((word for word in words if f"'{word}'" in message), "")


def _meant_changes(words: Sequence[str]) -> str | None:
    """`web 3 worker:2` as `web=3 worker=2`, `web` as `web=N`; None if all words are understood as they are, or none
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
        elif word.isidentifier() and following and re.fullmatch(r"[+-]\d+", following[0]):
            meant.append(word + following[0])
            at += 1
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
    return word.startswith("-") and (word.startswith("--wait=") or re.fullmatch(r"--[\w-]+=\d+|-\d+", word) is None)


def _signal_and_names(words: Sequence[str]) -> tuple[str, list[str]]:
    """`-9 web`, `-s HUP web` or `-HUP web` as ("9", ["web"]); ("", []) where there is no such signal."""
    rest = [word for word in words if word not in ("-s", "-n", "--signal")]
    signal = next(
        (word for word in rest if _is_signal(word.lstrip("-")) or (word.startswith("-") and word[1:].isdecimal())), ""
    )
    if not signal or (len(rest) == len(words) and not signal.startswith("-")):
        return "", []
    return signal.lstrip("-"), [word for word in rest if word != signal]
