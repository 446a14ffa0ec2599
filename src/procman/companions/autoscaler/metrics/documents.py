"""Numbers in documents: JSON by a path, Prometheus's text format by a selector, the output of a command.

Bytes in, a number out. Strict: anything that is not in the format is a ReadingError, never a guess.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from procman.companions.autoscaler.metrics import ReadingError

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\[\\"n])*)"'
_SELECTOR = re.compile(rf"\s*({_NAME})\s*(?:\{{(.*)\}})?\s*", re.DOTALL)
_SAMPLE = re.compile(
    rf"({_NAME})[ \t]*(?:\{{((?:[^\"}}]|\"(?:[^\"\\]|\\.)*+\")*+)\}})?[ \t]*(\S+)(?:[ \t]+(-?\d+))?[ \t]*"
)
_LABELS = re.compile(rf"\s*{_LABEL}\s*(,|$)")
_NUMBER = re.compile(r"[+-]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})([eE][+-]?\d{1,5})?", re.ASCII)
_SPECIAL = {"nan": "NaN", "inf": "+Inf", "+inf": "+Inf", "-inf": "-Inf", "infinity": "+Inf"}


class SampleSelector(Struct, frozen=True):
    """The name of a metric, and labels that a sample must have; it may have more."""

    name: str
    labels: dict[str, str]


def plain_number(text: str) -> float:
    """A decimal number and nothing else. Raises ReadingError."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        raise ReadingError(f"{_brief(text)} is not a number")
    return float(text)


def json_number(body: bytes, path: str) -> float:
    """The number at `a.b.0.c` of a JSON document. Names with a dot are not supported."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ReadingError("the answer is not JSON") from None
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif (
            isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 10 and int(step) < len(value)
        ):
            value = value[int(step)]
        else:
            raise ReadingError(f"the answer has no {_brief(path)}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ReadingError(f"{_brief(path)} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise ReadingError(f"{_brief(path)} is not a number of a usable size") from None


def read_selector(text: str) -> SampleSelector:
    """`name` or `name{label="value", …}`. Raises ValueError."""
    match = _SELECTOR.fullmatch(text)
    labels = None if match is None else _labels(match[2] or "")
    if match is None or labels is None:
        raise ValueError('expected name or name{label="value"}')
    return SampleSelector(match[1], labels)


def sample_sum(body: bytes, selector: SampleSelector) -> float:
    """The sum of the matching samples in a page in Prometheus's text format (version 0.0.4)."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise ReadingError("the answer is not UTF-8") from None
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \t\r")  # noqa: PLW2901  the line is what is in it
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        labels = None if match is None else _labels(match[2] or "")
        if match is None or labels is None:
            raise ReadingError(f"line {number} is not of Prometheus's text format")
        value = _sample_value(match[3], number)
        if match[1] == selector.name and selector.labels.items() <= labels.items():
            found.append(value)
    if not found:
        raise ReadingError(f"the answer has no sample of {_brief(selector.name)} with these labels")
    return sum(found)


def _sample_value(text: str, line: int) -> float:
    if text.lower() in _SPECIAL:
        return float(text)
    if not _NUMBER.fullmatch(text):
        raise ReadingError(f"line {line}: {_brief(text)} is not a number")
    return float(text)


def _labels(text: str) -> dict[str, str] | None:
    labels: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        match = _LABELS.match(text, at)
        if match is None or match[1] in labels:
            return None
        labels[match[1]] = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], match[2])
        at = match.end()
    return labels


def _brief(text: str) -> str:
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:60])
    return f"{shown!r}" if len(text) <= 60 else f"{shown!r} …"
