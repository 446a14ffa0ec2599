"""Reads YAML text as nodes with their lines. Decides which parts of YAML are allowed; knows no key of procman.yml.

PyYAML's loader forgets lines, silently keeps the last of two equal keys, and turns `on:` into a boolean and `1.10` into
a number; nodes avoid all that. Tags other than YAML's plain ones, and merge keys, are refused. An alias refers to the
same node and is never copied, so that "billion laughs" is harmless: a reader only goes as deep as its own types.
"""

from __future__ import annotations

import re

import yaml
from yaml.constructor import SafeConstructor

from procman.config.source import Unusable, brief, decode, native, plain
from procman.errors import Fault

_TAG = "tag:yaml.org,2002:"
_COLLECTIONS = {_TAG + "map", _TAG + "seq"}
_VALUES = {_TAG + name for name in ("null", "bool", "int", "float")}
_TEXTS = {_TAG + name for name in ("str", "timestamp", "value")}


QUOTE = "what begins with '!', '&' or '*' needs quotation marks around it, unless it is meant as YAML"


INDENT = "indent the keys of one section alike, with spaces"

_SYNTAX = (
    (r"'\\t' that cannot start", "there is a tab in it", "indent with spaces, not with tabs"),
    (r"cannot start any token", "", "put the value into quotation marks"),
    (r"<block end>", "its indentation does not match the lines above it", INDENT),
    (
        r"mapping values are not allowed",
        "a ':' is not expected here",
        f"{INDENT}, and put a value with ': ' into quotation marks",
    ),
    (r"end of stream", "a quotation mark is not closed", "close it at the end of the value"),
    (r"'<stream end>'", "a bracket is not closed", "close it at the end of the value"),
    (
        r"expected ',' or",
        "",
        "close the bracket, or put a value with commas, brackets or quotation marks into quotation marks",
    ),
    (r"a single document", "it contains a second document", "remove the line '---'"),
    (r"could not find expected ':'", "a key has no ':'", "write 'key: value'"),
    (r"escape", "", "write \\\\ for a backslash, or put the value into single quotation marks"),
)
"""A part of PyYAML's message, what to say instead ("": the message is good enough), and what to do next."""


def compose(data: bytes, file: str) -> yaml.Node | Fault | None:
    """The only document of a file; None for an empty file."""
    text = decode(data, file)
    if isinstance(text, Fault):
        return text
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return Fault(file, line, f"cannot use the character U+{ord(text[error.position]):04X}", "remove it")
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        return _syntax_fault(error, file)
    except RecursionError:
        return Fault(file, loader.line + 1, "cannot read the YAML: it is nested too deeply")
    except (ValueError, OverflowError):  # raised by chr() and int(), which PyYAML does not catch
        return Fault(file, loader.line + 1, "cannot read the YAML: an escape or a number in it is out of range")
    return None if node is None or is_null(node) else node


def _syntax_fault(error: yaml.MarkedYAMLError, file: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "there is a mistake here"
    if error.context and problem.startswith("but "):
        problem = f"{error.context}, {problem}"
    if problem.startswith(("found undefined ", "found duplicate ")):  # an alias, an anchor or a tag, or a password
        named = problem.partition(" '")[0]
        return Fault(file, mark.line + 1 if mark else 0, f"cannot read the YAML: {named}", QUOTE)
    if error.context_mark and ("end of stream" in problem or "'<stream end>'" in problem):
        mark = error.context_mark  # where it was opened: that it ends with the file says little
    plainly, hint = next(((said, what) for part, said, what in _SYNTAX if re.search(part, problem)), ("", ""))
    return Fault(file, mark.line + 1 if mark else 0, f"cannot read the YAML: {plainly or plain(problem, 200)}", hint)


def line_of(node: yaml.Node) -> int:
    """The line of a node, from 1."""
    return int(node.start_mark.line) + 1


def key_of(node: yaml.Node) -> str:
    """A mapping's key as it is written, so that `on`, `yes` and `1` are names."""
    if not isinstance(node, yaml.ScalarNode):
        raise Unusable("a key is a single word")
    if node.tag == _TAG + "merge":
        raise Unusable("merge keys are not supported", "put what all types share into 'defaults'")
    return _checked(node.value)


def refuse_tag(node: yaml.Node) -> None:
    """Refuse a tag. A YAML loader makes special objects of tagged values; here a tag would be silently ignored."""
    known = _VALUES | _TEXTS if isinstance(node, yaml.ScalarNode) else _COLLECTIONS
    if node.tag not in known:
        raise Unusable("a tag is not supported", QUOTE)  # not shown: it may be a password that starts with '!'


def text_of(node: yaml.Node) -> str:
    """A single value as it is written: `1.10` stays `1.10`, and `yes` stays `yes`."""
    if not isinstance(node, yaml.ScalarNode) or is_null(node):
        raise Unusable("expected text", "write '' for an empty one" if is_null(node) else "")
    refuse_tag(node)
    return _checked(node.value)


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "null"


def value_of(node: yaml.Node) -> object:
    """A single value as YAML 1.1 resolves it: None, a boolean, a number or text. Lists and mappings stay nodes."""
    if not isinstance(node, yaml.ScalarNode):
        return {} if isinstance(node, yaml.MappingNode) else []
    if node.tag not in _VALUES:
        return text_of(node)
    try:
        return SafeConstructor().construct_object(node)
    except (yaml.YAMLError, ValueError, KeyError, IndexError, OverflowError):  # `0b_`, `!!bool maybe`, 4,301 digits
        raise Unusable("it is not what its tag says") from None


def shown(node: yaml.Node) -> str:
    """The node as messages show it."""
    if isinstance(node, yaml.ScalarNode):
        return brief(node.value) if node.value else "an empty value"
    return "a mapping" if isinstance(node, yaml.MappingNode) else "a list"


def _checked(text: str) -> str:
    r"""Refuse escapes (`"\0"`, `"\ud800"`) for characters that no file name and no environment can hold."""
    for character in text:
        if character == "\0" or "\ud800" <= character <= "\udfff":
            raise Unusable(f"it holds U+{ord(character):04X}")
    return native(text)
