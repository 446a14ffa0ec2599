"""Puts values into YAML text and leaves every other character unchanged. Pure; knows no key of procman.yml.

Text is inserted at the marks of PyYAML's nodes, and the events of the result are compared with those before: if
anything but the inserted value differs, the change is refused. So comments, order, quotes and blank lines are safe. (A
loader that keeps comments rewrites the whole file by its own rules of indentation, quotes and line width, and would be
one more dependency.)
"""

from __future__ import annotations

import json
import re

import yaml
from msgspec import Struct

from procman.known.programs import Value

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_PLAIN_TEXT = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_BLOCK_LEVELS = 2
"""Keys down to this depth get a line of their own (`processes:`, `web:`), deeper ones are in braces: `stop: {signal:
QUIT}`.
"""


class CannotInsertError(Exception):
    """Why a value cannot be put into the text, and on which line (from 1; 0: none in particular)."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.why = why


class _Edit(Struct, frozen=True):
    """A text to insert."""

    path: tuple[str, ...]
    value: Value
    comment: str
    newline: str


def insert(text: str, path: tuple[str, ...], value: Value, comment: str = "") -> str:
    """The text with `value` at `path`, which must be absent; the comment follows it where possible. Raises
    CannotInsertError, also for invalid YAML.
    """
    edit = _Edit(path, value, comment, "\r\n" if "\r\n" in text else "\n")
    try:
        events = _events(text)
        at, piece = _place(text, yaml.compose(text, Loader=yaml.SafeLoader), edit, _anchored(events))
        changed = text[:at] + piece + text[at:]
        if not (_only_added(_kept(events), _kept(_events(changed))) and _stands(changed, path)):
            raise CannotInsertError(0, "the rest of the file would change")
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:  # ValueError: an escape out of range
        raise CannotInsertError(0, f"it is not YAML that can be extended: {type(error).__name__}") from None
    return changed


def _place(text: str, root: yaml.Node | None, edit: _Edit, anchored: set[int]) -> tuple[int, str]:
    """Where to insert, and what."""
    if root is None:
        return len(text), _begun(text, edit) + _block(edit, 0)
    node, depth = _deepest(root, edit.path, anchored)
    rest = edit.path[depth:]
    if not isinstance(node, yaml.MappingNode):
        return _into_nothing(node, rest, edit.value)
    if node.flow_style or not node.value:
        inside = f"{flow_key(rest[0])}: {_flow(rest[1:], edit.value)}"
        if not node.value:
            return node.start_mark.index + 1, inside
        return _end_of(node.value[-1]), f", {inside}"
    at = _after(text, node)
    indent = " " * node.value[0][0].start_mark.column
    return at, _begun(text[:at], edit) + _indented(_block(edit, depth), indent)


def _deepest(root: yaml.Node, path: tuple[str, ...], anchored: set[int]) -> tuple[yaml.Node, int]:
    """The last existing node on the path, and how many keys lead to it."""
    node, depth = root, 0
    while True:
        if node.start_mark.index in anchored:
            raise CannotInsertError(node.start_mark.line + 1, "an anchor uses it elsewhere, too")
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        pair = next((pair for pair in pairs if pair[0].value == path[depth]), None)
        if pair is None:
            return node, depth
        key, node = pair
        depth += 1
        if depth == len(path):
            raise CannotInsertError(key.start_mark.line + 1, "it is set already")
        if node.start_mark.index < key.end_mark.index:
            raise CannotInsertError(key.start_mark.line + 1, "its value is an alias, which is defined elsewhere")


def _into_nothing(node: yaml.Node, rest: tuple[str, ...], value: Value) -> tuple[int, str]:
    """`web:` without a value becomes `web: {…}`."""
    if isinstance(node, yaml.ScalarNode) and node.start_mark.index == node.end_mark.index:
        return node.end_mark.index, f" {_flow(rest, value)}"
    raise CannotInsertError(node.start_mark.line + 1, "it is not a mapping")


def _begun(text: str, edit: _Edit) -> str:
    """What to insert so that the next text starts a line."""
    return "" if not text or text.endswith("\n") else edit.newline


def _indented(block: str, indent: str) -> str:
    return "".join(indent + line for line in block.splitlines(keepends=True))


def _block(edit: _Edit, depth: int) -> str:
    """The lines for the path from the key at this depth on."""
    key, *others = edit.path[depth:]
    if others and depth < _BLOCK_LEVELS:
        return f"{flow_key(key)}:{edit.newline}{_indented(_block(edit, depth + 1), '  ')}"
    said = f"  # {edit.comment}" if edit.comment else ""
    return f"{flow_key(key)}: {_flow(tuple(others), edit.value)}{said}{edit.newline}"


def _flow(rest: tuple[str, ...], value: Value) -> str:
    return f"{{{flow_key(rest[0])}: {_flow(rest[1:], value)}}}" if rest else flow(value)


def flow(value: object) -> str:
    """A value on one line, with mappings in braces and lists in brackets."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow_key(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    assert isinstance(value, (str, int, float))
    return scalar(value)


def flow_key(key: str) -> str:
    """A key, in quotation marks where YAML needs them."""
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key)


def scalar(value: str | float | bool) -> str:  # noqa: FBT001  a value, not a switch
    """A single value as YAML that reads as the same value and type."""
    if isinstance(value, str):
        plain = _PLAIN_TEXT.fullmatch(value) and value.lower() not in _NOT_TEXT
        return value if plain else _quoted(value)
    return json.dumps(value)


def _quoted(text: str) -> str:
    """In double quotes, with escapes for what YAML does not allow. (JSON's escapes are YAML's, but for surrogates.)"""
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in json.dumps(text, ensure_ascii=False))


def _after(text: str, node: yaml.MappingNode) -> int:
    """The start of the line after the last one of a block mapping, including its trailing comment."""
    key, last = node.value[-1]
    while isinstance(last, yaml.CollectionNode) and not last.flow_style and last.value:
        if last.start_mark.index < key.end_mark.index:
            break
        key, last = last.value[-1] if isinstance(last, yaml.MappingNode) else (last.value[-1], last.value[-1])
    if isinstance(last, yaml.ScalarNode) and last.style in ("|", ">") and last.start_mark.index > key.start_mark.index:
        end = last.end_mark.index
        return len(text) if end >= len(text) else text.rfind("\n", 0, end) + 1
    end = text.find("\n", _end_of((key, last)))
    return len(text) if end < 0 else end + 1


def _end_of(pair: tuple[yaml.Node, yaml.Node]) -> int:
    """The end of a value. An alias is as long as its name, and its node has the marks of the anchor."""
    key, child = pair
    if child.start_mark.index < key.start_mark.index:
        raise CannotInsertError(key.start_mark.line + 1, "its last value is an alias")
    return int(child.end_mark.index)


def _events(text: str) -> list[yaml.Event]:
    return list(yaml.parse(text, Loader=yaml.SafeLoader))


def _anchored(events: list[yaml.Event]) -> set[int]:
    """The start of a value with an anchor."""
    nodes = (event for event in events if isinstance(event, yaml.NodeEvent) and not isinstance(event, yaml.AliasEvent))
    return {event.start_mark.index for event in nodes if event.anchor is not None and event.start_mark is not None}


def _kept(events: list[yaml.Event]) -> list[tuple[object, ...]]:
    """The part of the events that matters."""
    return [
        (type(event), *(getattr(event, name, None) for name in ("anchor", "tag", "value", "style", "flow_style")))
        for event in events
    ]


def _stands(text: str, path: tuple[str, ...]) -> bool:
    """Whether there is something at the path."""
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    for key in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((child for name, child in pairs if name.value == key), None)
    return node is not None


def _only_added(before: list[tuple[object, ...]], after: list[tuple[object, ...]]) -> bool:
    """Whether `after` is `before` with something inserted in one place, which may replace one empty value."""
    same = 0
    while same < min(len(before), len(after)) and before[same] == after[same]:
        same += 1
    back = 0
    while back < min(len(before), len(after)) - same and before[-1 - back] == after[-1 - back]:
        back += 1
    left = before[same : len(before) - back]
    return not left or (len(left) == 1 and left[0][0] is yaml.ScalarEvent and left[0][3] == "")
