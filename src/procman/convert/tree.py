"""Foreign files as values that know their lines, read in a way that shows which keys were not used. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml
from msgspec import Struct

from procman.config.source import plain
from procman.config.yamlnodes import compose
from procman.errors import ConfigError, Fault

MAX_DEPTH = 40
_DEFAULT = re.compile(r"\$\{\w+:?[-=]([^${}]*)\}")


class Item(Struct, frozen=True):
    """A value: None, a bool, a number, text, a list of Items or a dict of Items by name; and the line it stands on."""

    value: Any
    line: int


def fail(file: str, line: int, message: str, hint: str = "") -> NoReturn:
    raise ConfigError([Fault(file, line, plain(message, 200), hint)])


class Section:
    """A mapping that is being read. Keys that are asked for count as used; `rest` has the others."""

    def __init__(self, file: str, item: Item, what: str) -> None:
        if not isinstance(item.value, dict):
            fail(file, item.line, f"cannot use {what}: expected a mapping")
        self.file = file
        self.line = item.line
        self.what = what
        self._items: dict[str, Item] = item.value
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def names(self) -> list[str]:
        return list(self._items)

    def take(self, key: str) -> Item | None:
        """The value of a key; None if it is absent or null."""
        self._taken.add(key)
        item = self._items.get(key)
        return None if item is None or item.value is None else item

    def line_of(self, key: str) -> int:
        return self._items[key].line if key in self._items else self.line

    def section(self, key: str) -> Section | None:
        item = self.take(key)
        return None if item is None else Section(self.file, item, f"{self.what}.{key}".lstrip("."))

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Every member as a mapping of its own."""
        for name in self._items:
            found = self.section(name)
            if found is not None:
                yield name, found

    def text(self, key: str) -> str:
        """Text, or a number or boolean as it would be written; "" if it is absent."""
        item = self.take(key)
        return "" if item is None else self.as_text(item, key)

    def as_text(self, item: Item, key: str) -> str:
        value = item.value
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, (str, int, float)):
            return str(value)
        return self.refuse(key, item, "text")

    def word(self, key: str) -> str:
        """Text in which `${NAME:-default}` is the default, as the value is needed now. "" if it is unknown."""
        item = self._known(key)
        return "" if item is None else self.as_text(item, key)

    def _known(self, key: str) -> Item | None:
        """The value of a key that is needed now. A reference without a default counts as unused, and so is named."""
        item = self.take(key)
        if item is None or not isinstance(item.value, str) or "$" not in item.value:
            return item
        match = _DEFAULT.fullmatch(item.value.strip())
        if match is None or not match[1]:
            self._taken.discard(key)
            return None
        return Item(match[1], item.line)

    def number(self, key: str) -> float | None:
        item = self._known(key)
        if item is None:
            return None
        try:
            number = float(item.value) if not isinstance(item.value, (bool, list, dict)) else None
        except (ValueError, OverflowError):
            number = None
        if number is None or number != number or abs(number) > 1e12:  # noqa: PLR0124  NaN
            self.refuse(key, item, "a number")
        return number

    def flag(self, key: str) -> bool:
        """False if it is absent."""
        item = self._known(key)
        if item is None:
            return False
        word = str(item.value).lower()
        if isinstance(item.value, (list, dict)) or word not in ("true", "false", "yes", "no", "on", "off", "1", "0"):
            self.refuse(key, item, "true or false")
        return word in ("true", "yes", "on", "1")

    def texts(self, key: str) -> list[str] | None:
        """A list of texts; None if it is absent."""
        item = self.take(key)
        if item is None:
            return None
        if not isinstance(item.value, list):
            self.refuse(key, item, "a list")
        return [self.as_text(element, key) for element in item.value]

    def variables(self, key: str) -> dict[str, str]:
        """Variables as a mapping or as a list of NAME=value. One without a value is passed on, and left out here."""
        item = self.take(key)
        if item is None:
            return {}
        if isinstance(item.value, list):
            texts = [self.as_text(element, key) for element in item.value]
            return {name: value for name, sign, value in (text.partition("=") for text in texts) if sign}
        if not isinstance(item.value, dict):
            self.refuse(key, item, "a mapping or a list of NAME=value")
        return {name: self.as_text(one, key) for name, one in item.value.items() if one.value is not None}

    def refuse(self, key: str, item: Item, wanted: str) -> NoReturn:
        fail(self.file, item.line, f"cannot use {self.what}.{key}: expected {wanted}".replace(" .", " "))

    def rest(self) -> Iterator[tuple[str, int]]:
        """Each unused key that has a value, with its line."""
        for key, item in self._items.items():
            if key not in self._taken and item.value is not None and not key.startswith("x-"):
                yield key, item.line


def read_yaml(text: str, file: str) -> Item:
    """A YAML file, merge keys applied. Raises ConfigError."""
    node = compose(text.encode(errors="surrogatepass"), file)
    if isinstance(node, Fault):
        raise ConfigError([node])
    if node is None:
        fail(file, 0, "cannot find anything in the file: it is empty")
    return _Nodes(file).item(node, 0)


class _Nodes:
    """YAML's nodes as Items. Bounded, as aliases in aliases would make a small file a large tree."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.left = 100_000

    def item(self, node: yaml.Node, depth: int) -> Item:
        line = int(node.start_mark.line) + 1
        self.left -= 1
        if depth > MAX_DEPTH or self.left < 0:
            fail(self.file, line, "cannot read the YAML: it is too deep or too large")
        if isinstance(node, yaml.SequenceNode):
            return Item([self.item(child, depth + 1) for child in node.value], line)
        if isinstance(node, yaml.MappingNode):
            return Item(self._members(node, depth), line)
        assert isinstance(node, yaml.ScalarNode)
        return Item(_scalar(node), line)

    def _members(self, node: yaml.MappingNode, depth: int) -> dict[str, Item]:
        merged: dict[str, Item] = {}
        own: dict[str, Item] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                fail(self.file, int(key.start_mark.line) + 1, "cannot use a key that is not a single word")
            item = self.item(child, depth + 1)
            if key.tag == "tag:yaml.org,2002:merge":
                for source in item.value if isinstance(item.value, list) else [item]:
                    merged = {**(source.value if isinstance(source.value, dict) else {}), **merged}  # the first wins
            else:
                own[_clean(str(key.value))] = Item(item.value, int(key.start_mark.line) + 1)
        return {**merged, **own}


def _scalar(node: yaml.ScalarNode) -> object:
    kind = str(node.tag).rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return str(node.value).lower() in ("true", "yes", "on", "y")
    return _clean(str(node.value))


def _clean(text: str) -> str:
    """Without NUL and lone surrogates, which escapes can create and no file name, argument or UTF-8 can contain."""
    return text.replace("\0", "").encode(errors="replace").decode()


def read_toml(text: str, file: str) -> Item:
    """A TOML file. Raises ConfigError."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        found = re.search(r"\(at line (\d+)", str(error))
        why = str(error).partition(" (at")[0] if found else "it is not TOML"
        fail(file, int(found[1]) if found else 0, f"cannot read the TOML: {why.lower()}")
    return with_lines(data, _toml_lines(text), (), 1)


_HEADER = re.compile(r"\s*\[\[?\s*([^\]\[]+?)\s*\]?\]\s*(?:#.*)?")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


def _toml_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of each table and key, which tomllib does not give."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, row in enumerate(text.splitlines(), 1):
        header, key = _HEADER.fullmatch(row), _KEY.match(row)
        if header:
            table = _dotted(header[1])
            lines.setdefault(table, number)
        elif key:
            lines.setdefault(table + _dotted(key[1]), number)
    return lines


def _dotted(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in text.split("."))


def with_lines(data: object, lines: dict[tuple[str, ...], int], path: tuple[str, ...], line: int) -> Item:
    """Plain values as Items. A value without a line of its own gets that of its parent."""
    line = lines.get(path, line)
    if len(path) > MAX_DEPTH:
        return Item(None, line)
    if isinstance(data, dict):
        return Item(
            {_clean(str(key)): with_lines(one, lines, (*path, str(key)), line) for key, one in data.items()}, line
        )
    if isinstance(data, list):
        return Item([with_lines(one, lines, (*path, str(number)), line) for number, one in enumerate(data)], line)
    if data is None or isinstance(data, (int, float, bool)):
        return Item(data, line)
    return Item(_clean(str(data)), line)


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|seconds?|sec|s|minutes?|min|m|hours?|hr|h|days?|d)?\s*")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str) -> float | None:
    """`90`, `1m30s`, `1min 30s`, `500ms` in seconds; None if it is none of these."""
    total, end = 0.0, 0
    text = text.strip().lower()
    for match in _DURATION.finditer(text):
        if match.start() != end:
            return None
        word = match[2] or "s"
        total += float(match[1]) * _UNITS["ms" if word == "ms" else "us" if word == "us" else word[0]]
        end = match.end()
    return total if text and end == len(text) else None
