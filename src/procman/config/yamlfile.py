"""Reads the text of a procman.yml: its settings, the line of everything, and every fault in one run. Pure.

msgspec's own errors give no line and only the first fault. So the nodes are walked along the types of keys.py, and each
single value is converted by itself. Whether values make sense together (does that type exist?) is checked by plan.py.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import msgspec
import yaml
from msgspec import UNSET, Struct, UnsetType

from procman.config import otherwords
from procman.config.keys import ProcessSection, ProcmanYml
from procman.config.sections import AsWritten, DefaultsSection
from procman.config.source import Unusable, plain
from procman.config.specs import Document
from procman.config.yamlnodes import compose, is_null, key_of, line_of, refuse_tag, shown, text_of, value_of
from procman.errors import Fault, nearest
from procman.text.quantities import READ

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECRET = re.compile(r"\.env(\.|$)|\.metrics\[\d+\]\.\w+\.(redis|url)$")
"""Paths whose values are not shown in messages."""

_UNIONS = (Union, UnionType)

_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "a mapping",
}


def parse_settings(data: bytes, file: str) -> tuple[Document, list[Fault]]:
    """The readable part of the file, and all its faults."""
    walk = _Walk(file)
    node = compose(data, file)
    if isinstance(node, Fault):
        walk.faults.append(node)
    settings = walk.value(node, ProcmanYml, "") if isinstance(node, yaml.Node) else UNSET
    read = ProcmanYml() if settings is UNSET else settings
    return Document(read, walk.lines, file, frozenset(walk.faulty)), walk.faults


class _Walk:
    """Walks the nodes along the types once. `kind` is any type that occurs in keys.py. A value that cannot be used is left
    out, as UNSET, with its fault recorded.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {}
        self.faults: list[Fault] = []
        self.faulty: set[str] = set()

    def value(self, node: yaml.Node, kind: Any, path: str) -> Any:  # noqa: ANN401  an instance of `kind`, or UNSET
        self.lines[path] = line_of(node)
        try:
            kind = _fitting(node, kind)
            bare = _bare(kind)
            if isinstance(bare, type) and issubclass(bare, Struct):
                return self._struct(node, bare, path)
            if get_origin(bare) is dict:
                return self._members(node, get_args(bare)[1], path)
            if get_origin(bare) is tuple:
                return self._items(node, get_args(bare)[0], path)
            return text_of(node) if kind == AsWritten else _converted(node, kind)
        except Unusable as reason:
            self._refuse(node, path, reason)
            return UNSET

    def _struct(self, node: yaml.Node, kind: type[Struct], path: str) -> Any:  # noqa: ANN401  a `kind`, or UNSET
        """A section. Without a required key it is left out, unless another of its faults explains that already."""
        faults = len(self.faults)
        members = self._members(node, _fields(kind), path)
        absent = [name for name in _needed(kind) if name not in members]
        if absent and len(self.faults) == faults:
            raise Unusable(f"it has no '{absent[0]}'")
        return UNSET if absent else kind(**members)

    def _members(self, node: yaml.Node, kinds: Any, path: str) -> dict[str, Any]:  # noqa: ANN401  see the docstring
        """The valid members of a mapping. `kinds` is one type for all of them, or one for each known key."""
        if not isinstance(node, yaml.MappingNode):
            hint = "indent what belongs to it, or leave the key out" if is_null(node) else otherwords.of_section(path)
            raise Unusable("expected a mapping", hint)
        refuse_tag(node)
        values = {}
        for key, key_node, child in self._pairs(node, path):
            at = _join(path, key)
            if isinstance(kinds, dict) and key not in kinds:
                near = nearest(key, kinds)
                known = otherwords.of_key(path, key) or _of_other_place(path, key)
                if not known and not near.startswith("did") and not path and isinstance(child, yaml.MappingNode):
                    known = f"settings of a type belong under `processes: {{{plain(key)}: …}}`"
                self._add(at, Fault(self.file, line_of(key_node), f"{at}: cannot use this key", known or near))
                continue
            value = self.value(child, kinds[key] if isinstance(kinds, dict) else kinds, at)
            if value is not UNSET:
                values[key] = value
        return values

    def _pairs(self, node: yaml.MappingNode, path: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Each key as text, with its node and its value's node. Of a repeated key the first one counts."""
        first: dict[str, int] = {}
        for key_node, child in node.value:
            try:
                key = key_of(key_node)
            except Unusable as reason:
                self._refuse(key_node, path, reason)
                continue
            if key in first:
                message = f"{_join(path, key)}: cannot set it twice: line {first[key]} does it already"
                self._add(path, Fault(self.file, line_of(key_node), message))
                continue
            first[key] = line_of(key_node)
            yield key, key_node, child

    def _items(self, node: yaml.Node, kind: Any, path: str) -> tuple[Any, ...]:  # noqa: ANN401  see the class
        if not isinstance(node, yaml.SequenceNode):
            raise Unusable("expected a list", f"write [{node.value}]" if isinstance(node, yaml.ScalarNode) else "")
        refuse_tag(node)
        values = [self.value(child, kind, f"{path}[{index}]") for index, child in enumerate(node.value)]
        return tuple(value for value in values if value is not UNSET)

    def _refuse(self, node: yaml.Node, path: str, reason: Unusable) -> None:
        where = f"{path}: " if path else ""
        secret = _SECRET.search(path) is not None
        message = f"{where}cannot use {'its value' if secret else shown(node)}: {reason.why}"
        hint = otherwords.of_value(path, node.value) if isinstance(node, yaml.ScalarNode) and not secret else ""
        example = "" if secret else otherwords.of_section(path)
        self._add(path, Fault(self.file, line_of(node), message, hint or reason.hint or example))

    def _add(self, path: str, fault: Fault) -> None:
        self.faults.append(fault)
        while path and path not in self.faulty:
            self.faulty.add(path)
            path = path.rpartition(".")[0]


def _join(path: str, key: str) -> str:
    return f"{path}.{plain(key)}".removeprefix(".")


def _of_other_place(path: str, key: str) -> str:
    """The hint for a key that exists elsewhere: at the top, or in a type."""
    if not path and key in _fields(ProcessSection):
        every = "" if key not in _fields(DefaultsSection) else f", or for every type under `defaults: {{{key}: …}}`"
        return f"it belongs under the name of a type: `processes: {{web: {{{key}: …}}}}`{every}"
    at_the_top = path.startswith("processes.") and key in _fields(ProcmanYml)
    return f"`{key}:` belongs at the top of the file, not under a type" if at_the_top else ""


@cache
def _fields(struct: type[Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(struct)}


@cache
def _needed(struct: type[Struct]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(struct) if field.required)


def _bare(kind: Any) -> Any:  # noqa: ANN401  a type
    """The type without its description."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _fitting(node: yaml.Node, kind: Any) -> Any:  # noqa: ANN401  a type
    """Of several possible types, the one that this node can have; a written value is never UNSET. Plain values keep all:
    `null`, or a number.
    """
    bare = _bare(kind)
    if get_origin(bare) not in _UNIONS:
        return kind
    kinds = [one for one in get_args(bare) if one is not UnsetType]
    found = kinds if len(kinds) == 1 else [one for one in kinds if isinstance(node, _shape(one))]
    if not found:
        raise Unusable(f"expected {' or '.join(dict.fromkeys(map(_called, kinds)))}")
    return found[0] if len(found) == 1 else Union[tuple(found)]  # noqa: UP007  made at run time


def _shape(kind: Any) -> type[yaml.Node]:  # noqa: ANN401  a type
    bare = _bare(kind)
    if get_origin(bare) is dict or (isinstance(bare, type) and issubclass(bare, Struct)):
        return yaml.MappingNode
    return yaml.SequenceNode if get_origin(bare) is tuple else yaml.ScalarNode


def _called(kind: Any) -> str:  # noqa: ANN401  a type
    """The name of a type in a message."""
    shape = _shape(kind)
    if shape is not yaml.ScalarNode:
        return "a mapping" if shape is yaml.MappingNode else "a list"
    bare = _bare(kind)
    if isinstance(bare, type) and issubclass(bare, Enum):
        return " or ".join(str(member.value) for member in bare)
    return _WORDS.get({float: "float", int: "int", str: "str", bool: "bool"}.get(bare, "null"), "a value")


def _converted(node: yaml.Node, kind: Any) -> Any:  # noqa: ANN401  an instance of `kind`
    value = _read(value_of(node), kind)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        bare = _bare(kind)
        if isinstance(bare, type) and issubclass(bare, Enum):
            raise _not_one_of(node, value, [member.value for member in bare]) from None
        # a pattern alone helps few people
        example = next((f"such as {meta.examples[0]}" for meta in _metas(kind) if meta.examples), "")
        raise Unusable(_expected(str(error)), example) from None


def _metas(kind: Any) -> list[msgspec.Meta]:  # noqa: ANN401  a type
    return [meta for one in (kind, *get_args(kind)) for meta in getattr(one, "__metadata__", ())]


def _read(value: object, kind: Any) -> object:  # noqa: ANN401  a type
    """The number that a word stands for, where the type allows such words (`90s`)."""
    read = next((meta.extra[READ] for meta in _metas(kind) if meta.extra and READ in meta.extra), None)
    if read is None or not isinstance(value, str):
        return value
    try:
        return read(value)
    except ValueError as why:
        raise Unusable(str(why)) from None


def _not_one_of(node: yaml.Node, value: object, words: list[str]) -> Unusable:
    why = f"expected one of {', '.join(words)}"
    if isinstance(value, str):
        near = nearest(value, words)
        return Unusable(why, near if near.startswith("did") else "")
    return Unusable(why, f'write it in quotes: "{node.value}"' if node.value in words else "")


def _expected(message: str) -> str:
    """Msgspec's message in a user's words: "Expected `int | null`, got `str`" -> "expected a whole number or null"."""
    wanted = message.partition(", got ")[0]
    words = re.sub("`([^`]*)`", lambda match: " or ".join(_WORDS.get(w, w) for w in match[1].split(" | ")), wanted)
    return words.partition(" matching regex")[0].lower().removesuffix(".0")
