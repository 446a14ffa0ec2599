"""What to advise about the programs of a Procfile. Pure: types and their settings in, findings out.

There is advice only where the user has not decided yet: a key in procman.yml is left alone, whatever its value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from msgspec import Struct

from procman.core.spec import LAST_PORT
from procman.known.programs import AdviceRule, Listens, Value
from procman.known.recognise import Known, fixed_port, recognise
from procman.text.shell import ends_in_background

_PORT = re.compile(r"\$\{?PORT\b")
_NUMBER = re.compile(r"(?:.*:)?(\d{1,5})(?:/.*)?")


class TypeInput(Struct, frozen=True, kw_only=True):
    """A process type: its line in the Procfile (0: unknown), its command, how many run at the start, and its settings.

    `written` holds the paths of keys below `processes.NAME` that are in procman.yml or in its defaults: `stop.signal`.
    """

    name: str
    command: str
    line: int = 0
    count: int = 1
    written: frozenset[str] = frozenset()


class Finding(Struct, frozen=True, kw_only=True):
    """One piece of advice about a type. With a `key` (a path below `processes.NAME`) it is the `value` for that key;
    without one, `say` is how to write the command.
    """

    type: str
    line: int
    program: str
    why: str
    key: str = ""
    value: Value | None = None
    say: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """The path of the key in procman.yml."""
        return ("processes", self.type, *self.key.split("."))


def advise(types: Iterable[TypeInput], keys: Collection[str] | None = None) -> list[Finding]:
    """Every finding, in the order of the types. `keys` are those that may be set for a type (`stop`, `max` …); None: all."""
    recognised = [(given, recognise(given.command)) for given in types]
    stores = {given.name: known.program.provides for given, known in recognised if given.count and known is not None}
    return [
        finding
        for given, known in recognised
        for finding in (
            *_fixed_port(given, known),
            *_in_background(given),
            *(() if known is None else (*_about(given, known, keys), *_order(given, known, stores, keys))),
        )
    ]


def _fixed_port(given: TypeInput, known: Known | None) -> list[Finding]:
    """A line that sets PORT itself. Workers of a queue serve nobody: theirs is for the application's settings."""
    port = fixed_port(given.command)
    decided = _decided("port", given.written) or (known is not None and known.program.uses)
    if decided or not port.isdigit():
        return []
    say = f"leave PORT={port} out, and set `port: {port}` for it in procman.yml"
    why = "it overrides the port that procman assigns: `ps` shows another one, and a second instance finds it taken"
    return [_finding(given, "its port", AdviceRule(say=say, why=why))]


def _in_background(given: TypeInput) -> list[Finding]:
    if not ends_in_background(given.command):
        return []
    why = "the shell ends at once, the instance counts as ended, and what it left is stopped"
    return [_finding(given, "its command", AdviceRule(say="leave out the & at its end", why=why))]


def _order(given: TypeInput, known: Known, stores: dict[str, str], keys: Collection[str] | None) -> list[Finding]:
    """A worker depends on its queue, where that is a type of the formation, too."""
    needed = [name for name, provided in stores.items() if provided and provided in known.program.uses]
    settable = keys is None or "depends_on" in keys
    if not needed or not settable or _decided("depends_on", given.written):
        return []
    names = " and ".join(needed)
    why = f"started when {names} is ready and stopped before it: what is done at the end can still be acknowledged"
    return [_finding(given, known.program.name, AdviceRule(key="depends_on", value=needed, why=why))]


def _about(given: TypeInput, known: Known, keys: Collection[str] | None) -> list[Finding]:
    rules = list(known.program.rules)
    if known.program.listens is not None:
        ready = readiness(known, known.program.listens)
        if ready is not None:
            rules.append(AdviceRule(key="ready", value=ready, why="it is ready when it listens, not after one second"))
        if isinstance(ready, dict) and "socket" not in given.written:
            rules += _alone(known, ready["tcp"])
    if known.shell_leads and (known.program.reload or any(rule.key == "stop.signal" for rule in rules)):
        say = f"write exec before {known.start}"
        rules.append(AdviceRule(say=say, why="a shell leads the group otherwise, and gets the signals first"))
    findings = []
    for rule in rules:
        word = _applies(rule, known)
        if rule.several and given.count < 2:
            continue
        settable = keys is None or rule.key.partition(".")[0] in {"", *keys}
        if word is not None and settable and not _decided(rule.key, given.written):
            findings.append(_finding(given, known.program.name, rule, word))
    return findings


def port_taken(port: int) -> str:
    """Why no second one may run beside one with this fixed port."""
    return f"a second one finds port {port} taken, unless the command says $PORT"


def _alone(known: Known, port: int) -> list[AdviceRule]:
    """Advice against a second instance if the port is not PORT. It would also count as ready at once, as the first one
    answers there.
    """
    if any(rule.key == "max" for rule in known.program.rules):
        return []
    return [AdviceRule(key="max", value=1, why=port_taken(port), unless=("reuse-port", "reuse_port", "reuseport"))]


def _finding(given: TypeInput, program: str, rule: AdviceRule, word: str = "") -> Finding:
    if rule.key == "max" and isinstance(rule.value, int) and given.count > rule.value:
        rule = AdviceRule(say=f"set its count to {rule.value}: it is {given.count}", why=rule.why)
    say = rule.say.replace("{word}", word)
    return Finding(
        type=given.name, line=given.line, program=program, why=rule.why, key=rule.key, value=rule.value, say=say
    )


def _decided(key: str, written: frozenset[str]) -> bool:
    return bool(key) and any(path == key or path.startswith(key + ".") for path in written)


def _applies(rule: AdviceRule, known: Known) -> str | None:
    """The word of `when` in the command ("" if the rule has none), None if the rule does not apply."""
    if any(_has(known, word) for word in rule.unless):
        return None
    if not rule.when:
        return ""
    return next((word for word in rule.when if _has(known, word)), None)


def _has(known: Known, word: str) -> bool:
    if word.startswith("-") and " " not in word:
        return any(given == word or given.startswith(word + "=") for given in known.words[1:])
    return word in " ".join((*known.env, *known.words))


def readiness(known: Known, listens: Listens) -> Value | None:
    """The value of `ready`: `tcp` where the program listens on PORT, `{tcp: N}` on another port, None if unknown."""
    if any(_has(known, word) for word in listens.unless):
        return None
    given = _given_port(known, listens.flags)
    if given is not None:
        return _port(given)
    if any(_has(known, word) for word in listens.config):
        return None
    if listens.env and known.env.get("PORT", "$PORT"):
        return _port(known.env.get("PORT", "$PORT"))
    return {"tcp": listens.default} if listens.default else None


def _given_port(known: Known, flags: tuple[str, ...]) -> str | None:
    """The value of the first of these options that names a port."""
    for number, word in enumerate(known.words):
        name, sign, value = word.partition("=")
        if name in flags:
            return value if sign else " ".join(known.words[number + 1 : number + 2])
        if len(word) > 2 and word[:2] in flags and not word.startswith("--"):
            return word[2:]
    return None


def _port(text: str) -> Value | None:
    if _PORT.search(text):
        return "tcp"
    number = _NUMBER.fullmatch(text)
    if number and 1 <= int(number[1]) <= LAST_PORT:
        return {"tcp": int(number[1])}
    return None
