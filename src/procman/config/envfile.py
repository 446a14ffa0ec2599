r"""Environment files: their text becomes assignments, and these become the variables that a child gets. Pure; the
grammar is python-dotenv's.

Four things differ from python-dotenv. A line that cannot be parsed is a fault, where python-dotenv skips it. A
reference is replaced with the value that the child gets in the end, wherever that is set, where python-dotenv always
takes the file's value. Single quotes are literal, as in every shell. Outside them `\$` is a literal `$`, and `${9#z}`,
whose name no variable can have, stays as it is.

Messages never show a value, as it may be a secret.
"""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING

from procman.config.environment import Assignment
from procman.config.source import brief, decode, native, plain
from procman.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dotenv.parser import Binding

MAX_VALUE = 128 * 1024
"""Most bytes of `NAME=value` with its final NUL that Linux accepts (MAX_ARG_STRLEN, execve(2)). A longer one would make
every start fail.
"""

_MAX_DEPTH = 50
"""How many names one reference may lead through. Nobody needs three, and Python's stack is limited."""

_ESCAPED_DOLLAR = r"(?<!\\)((?:\\\\)*)\\\$"
"""A `$` after an odd number of backslashes."""

_SINGLE_QUOTED = r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*=[^\S\r\n]*'"
"""The start of a statement whose value is in single quotes (python-dotenv's own grammar)."""

_NAME = r"(?a:[A-Za-z_]\w*)"
"""What counts as a variable's name in a reference to an unset variable."""


def read_assignments(data: bytes, file: str) -> tuple[list[Assignment], list[Fault]]:
    """Every assignment in order, and a fault for every other statement that is not a comment."""
    _load_dotenv()
    from dotenv.parser import parse_stream  # noqa: PLC0415  only where there is a file to read

    text = decode(data, file)
    if isinstance(text, Fault):
        return [], [text]
    assignments: list[Assignment] = []
    faults: list[Fault] = []
    dollar = _unused_character(text) if "\\$" in text else ""
    if dollar:
        text = re.sub(_ESCAPED_DOLLAR, rf"\1{dollar}", text)
    for binding in parse_stream(io.StringIO(text, newline=None)):  # None: CRLF becomes LF, as dotenv's own open() does
        statement = binding.original.string.lstrip()
        blanks = binding.original.string[: len(binding.original.string) - len(statement)]
        # python-dotenv counts from the blank lines before the statement
        line = binding.original.line + blanks.count("\n")
        refused = _refuse(binding, statement)
        if refused:
            faults.append(Fault(file, line, *refused))
        elif binding.key is not None and binding.value is not None:
            assignments.append(_assignment(binding, file, line, dollar))
    return assignments, faults


def _unused_character(text: str) -> str:
    """A character of the private use area that does not occur in the text."""
    return next(character for character in map(chr, range(0xE000, 0xF900)) if character not in text)


def _assignment(binding: Binding, file: str, line: int, dollar: str) -> Assignment:
    """In single quotes everything stays as written, including a backslash before a `$`."""
    assert binding.key is not None
    assert binding.value is not None
    value = binding.value
    literal = "$" in value or (dollar != "" and dollar in value)
    literal = literal and re.match(_SINGLE_QUOTED, binding.original.string) is not None
    if literal and dollar:
        value = value.replace(dollar, "\\$")
    return Assignment(native(binding.key), native(value), file, line, literal, native(dollar))


def _load_dotenv() -> None:
    """Load the two modules of python-dotenv that are needed, without its `__init__`, which also imports logging,
    pathlib and tempfile: 11 ms, a sixth of a start with a .env.

    If these modules need the package, it is imported like any other.
    """
    if "dotenv" in sys.modules or "dotenv.parser" in sys.modules:
        return
    from importlib.util import find_spec, module_from_spec  # noqa: PLC0415  only where there is a .env

    spec = find_spec("dotenv")
    if spec is None:
        return  # whoever imports it says so
    sys.modules["dotenv"] = module_from_spec(spec)  # not executed
    try:
        import dotenv.parser  # noqa: PLC0415
        import dotenv.variables  # noqa: PLC0415, F401
    except ImportError:
        return
    finally:
        del sys.modules["dotenv"]


def _refuse(binding: Binding, statement: str) -> tuple[str, str] | None:
    """Why a statement is not an assignment, as (message, hint); None for an assignment and for a comment."""
    first = statement.partition("\n")[0]
    if binding.error:
        name, sign, value = first.partition("=")
        if not sign:
            return "cannot read the statement: it has no '='", "write NAME=value"
        if not name.strip():
            return "cannot read the statement: there is no name before its '='", "write NAME=value"
        if value.lstrip()[:1] in ("'", '"'):
            why = "its quotation marks do not match"
            return f"cannot read the value of {brief(name.strip())}: {why}", "close the one it begins with, at its end"
        return "cannot read the statement", "write NAME=value"
    if binding.key is None:
        return None
    if binding.value is None:  # not shown: it may be a line of a key file
        return "cannot read the statement: it has no '='", "write NAME=value"
    if "=" in binding.key or "\0" in binding.key:
        return f"cannot use {brief(binding.key)} as the name of a variable", ""
    if binding.key.endswith("+"):
        name = plain(binding.key[:-1])
        return f"cannot use {brief(binding.key)} as the name of a variable", f"to append, write {name}=${{{name}}}…"
    if "\0" in binding.value:
        return f"cannot set {brief(binding.key)}: its value holds a NUL", "no program can be given one: environ(7)"
    return None


def layer_over(
    assignments: Sequence[Assignment], base: Mapping[str, str], *, override: bool = False
) -> tuple[dict[str, str], list[Fault]]:
    """What the assignments add to `base` (a later one wins), or with `override` also change in it, with references
    replaced.
    """
    effective = [assignment for assignment in assignments if override or assignment.name not in base]
    expansion = _Expansion(effective, base)
    values = ((assignment.name, expansion.value(assignment.name)) for assignment in effective)
    return {name: value for name, value in values if value is not None}, expansion.faults


class _Expansion:
    """The final value of each name.

    A name is evaluated when it is first needed, starting with its last assignment. During that, a reference to the same
    name means the assignment before it, and before the first assignment the base: `PATH=/opt/bin:${PATH}`. So
    references that form a circle come to an end, too.
    """

    def __init__(self, assignments: Sequence[Assignment], base: Mapping[str, str]) -> None:
        self.faults: list[Fault] = []
        self._base = base
        self._known: dict[str, str] = {}
        self._left: dict[str, list[Assignment]] = {}
        for assignment in assignments:
            self._left.setdefault(assignment.name, []).append(assignment)

    def value(self, name: str, depth: int = 0) -> str | None:
        """The value; None if the name is not set anywhere."""
        if name in self._known:
            return self._known[name]
        if not self._left.get(name):
            return self._base.get(name)
        assignment = self._left[name].pop()
        self._known[name] = text = self._expanded(assignment, depth)
        return text

    def _expanded(self, assignment: Assignment, depth: int) -> str:
        from dotenv.variables import Variable, parse_variables  # noqa: PLC0415  as in `read_assignments`, which was called before

        if assignment.literal:
            return assignment.value
        if depth > _MAX_DEPTH:
            return self._refused(assignment, f"its references lead through more than {_MAX_DEPTH} others")
        parts: list[str] = []
        size = len(assignment.name) + 2
        for atom in parse_variables(assignment.value):
            value = None
            if isinstance(atom, Variable):
                value = self.value(atom.name, depth + 1)
                if value is None and atom.default is None and not re.fullmatch(_NAME, atom.name):
                    value = f"${{{atom.name}}}"  # such as `${9#z}`: no reference, but part of a secret
            if value is None:  # the reference as it is written, or its default after `:-`
                value = atom.resolve({})
                value = value.replace(assignment.dollar, "$") if assignment.dollar else value
            parts.append(value)
            size += len(parts[-1].encode(errors="surrogatepass"))
            if size > MAX_VALUE:
                return self._refused(assignment, f"it is longer than {MAX_VALUE // 1024} KiB")
        return "".join(parts)

    def _refused(self, assignment: Assignment, why: str) -> str:
        message = f"cannot set {brief(assignment.name)}: {why}"
        self.faults.append(Fault(assignment.file, assignment.line, message, "no program could be started with it"))
        return ""
