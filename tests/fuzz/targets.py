"""What is fuzzed: one function a reader of foreign bytes. Each returns in silence, or raises what it must not.

Shared by the Hypothesis tests of the suite (tests/fuzz/test_fuzz.py) and atheris (tests/fuzz/run.py). Only the documented
errors are caught here: a fault in a list, `ConfigError`, the protocol's `Failure`, `ValueError` of the guardian's table,
`DecodeError` of a trace.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping
from typing import ClassVar

import msgspec

from procman.companions.autoscaler.metrics import ReadingError, number
from procman.companions.autoscaler.metrics.documents import SampleSelector, json_number, plain_number, sample_sum
from procman.companions.autoscaler.metrics.layouts import AGES, LENGTHS
from procman.companions.balancer.answers import (
    HaproxyError,
    read_load,
    read_pid,
    read_state,
    read_used,
    read_version,
    refusal,
)
from procman.config.envfile import layer_over, read_assignments
from procman.config.formation import parse_changes, parse_formation
from procman.config.procfile import claimed_names, parse_procfile
from procman.config.source import MAX_SIZE
from procman.config.yamlfile import parse_settings
from procman.control.codec import Code, Incoming, encode_error, encode_result
from procman.control.conditions import Condition
from procman.control.messages import (
    AttachParams,
    InputParams,
    LogsParams,
    ResizeParams,
    StreamStarted,
    Waited,
    WaitParams,
)
from procman.core.actions import Refuse, Reply
from procman.core.autoscale_settings import RedisSource
from procman.core.events import Command, Commanded, FormationStarted, Released, Reported
from procman.core.fleet import Fleet
from procman.core.select import Selector
from procman.core.spec import Plan, ProcessSpec
from procman.core.trace import read, replay
from procman.core.view import FleetView, Operation
from procman.errors import ConfigError, Fault
from procman.kernel.output.history import History
from procman.kernel.survive.guardian import RECORD, read_table
from procman.serve.methods import (
    HANDLERS,
    NOT_ATTACHED,
    Answer,
    Failure,
    StreamParams,
    instance_of,
    parameters,
    parse,
)
from procman.serve.streams import LogsStream, refuse_names
from procman.text import lines as display
from procman.text.ansi import SharedView, visible
from procman.text.signals import read_signal

SLOW = 20.0
"""Seconds, also on a busy machine: what takes longer on a few kilobytes holds up everything else."""


def _messages(faults: list[Fault]) -> None:
    for fault in faults:
        text = str(fault)
        assert text
        assert "\n" not in text
        assert text.isprintable(), text


def protocol(data: bytes) -> None:
    """A line of a client, up to what it asks for."""
    request = parse(data)
    if isinstance(request, Failure):
        assert request.code in {Code.PARSE_ERROR, Code.INVALID_REQUEST}
        _one_line(encode_error(None, request.code, request.message, request.hint))
        return
    params = parameters(request)
    if isinstance(params, Failure):
        assert params.code in {Code.METHOD_NOT_FOUND, Code.INVALID_PARAMS}
        _one_line(encode_error(None if request.id is msgspec.UNSET else request.id, params.code, params.message))
        return
    if request.id is not msgspec.UNSET:
        _one_line(encode_result(request.id, params))
    names = getattr(params, "names", None)
    if names and Selector(names).refuse({"web": 1}, ["web.1", "web.2"]) is None:
        Selector(names).matches("web.1")
    read_signal(getattr(params, "signal", "TERM"))


class _Backend:
    """Two types that stand at 2 and 0, and some output: what a request can do to the core and the history."""

    root = "/srv"
    out = None

    def __init__(self) -> None:
        types = {name: ProcessSpec(type=name, command="x", cwd="/", env={}) for name in ("web", "job")}
        self.fleet = Fleet(Plan(root="/", types=types, counts={"web": 2, "job": 0}, positions={"web": 0, "job": 1}))
        self.fleet.handle(FormationStarted(), 0.0)
        self.history = History()
        self.history.append("web.1", 1.0, b"one\ntwo\n")

    def view(self) -> FleetView:
        return self.fleet.view(1.0)

    @property
    def counts(self) -> Mapping[str, int]:
        return self.fleet.counts

    def why(self, name: str) -> tuple[str, ...]:
        return self.fleet.why(name, 1.0)

    def post(self, event: Released | Reported) -> None:
        self.fleet.handle(event, 1.0)

    def operation(self, number: int) -> Operation | None:
        return self.fleet.operation(number)

    def command(self, command: Command, answer: Callable[[Reply | Refuse], None]) -> None:
        for action in self.fleet.handle(Commanded(command, 1), 1.0):
            if isinstance(action, Reply | Refuse):
                answer(action)

    def reload(self, answer: Callable[[Reply | Refuse | ConfigError], None]) -> None:
        answer(ConfigError("cannot read it"))

    def fault(self, error: BaseException) -> None:
        raise error


class _Caller:
    """A connection that asks."""

    any_word = False
    holders: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        self.kernel = _Backend()

    def open_stream(self, params: StreamParams, answer: Answer) -> None:
        backend = self.kernel
        if isinstance(params, LogsParams):
            refusal = refuse_names(params.names, backend.view(), backend.history) if params.names else None
            stream = None if refusal else LogsStream(1, backend.history, params)
            while stream is not None and stream.waiting and not stream.ended:
                _one_line(stream.pull(any_word=False))
        elif isinstance(params, AttachParams):
            instance_of(params.instance, backend.view(), "attach to")
        answer(StreamStarted(1))

    def wait(self, params: WaitParams, answer: Answer) -> None:
        view = self.kernel.view()
        answer(Waited(Condition(params.names, params.until, view).judge(view).outcome))

    def perform(self, _params: InputParams | ResizeParams, answer: Answer) -> None:
        answer(NOT_ATTACHED)


def request(data: bytes) -> None:
    """A line of a client, carried out."""
    told = parse(data)
    params = told if isinstance(told, Failure) else parameters(told)
    if isinstance(told, Failure) or isinstance(params, Failure):
        return
    answers: list[msgspec.Struct] = []
    HANDLERS[told.method](_Caller(), params, answers.append)
    assert len(answers) == 1
    for each in answers:
        if isinstance(each, Failure):
            assert each.code != Code.INTERNAL_ERROR
            _one_line(encode_error(1, each.code, each.message, each.hint))
        else:
            _one_line(encode_result(1, each))


def _one_line(message: bytes) -> None:
    assert message.endswith(b"\n")
    assert message.count(b"\n") == 1
    json.loads(message)


def answer(data: bytes) -> None:
    """A line of a server."""
    try:
        incoming = msgspec.json.decode(data, type=Incoming)
        if incoming.error is not None:
            assert isinstance(incoming.error.message, str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return


def procfile(data: bytes) -> None:
    entries, faults = parse_procfile(data)
    _messages(faults)
    assert entries or faults
    assert {entry.name for entry in entries} <= claimed_names(data)
    for entry in entries:
        assert entry.command
        assert "\0" not in entry.command


def envfile(data: bytes) -> None:
    assignments, faults = read_assignments(data[:MAX_SIZE], ".env")
    values, more = layer_over(assignments, {"HOME": "/home/user", "A": "1"})
    _messages(faults + more)
    if not faults + more:
        for name, value in values.items():
            assert name
            assert "=" not in name
            assert "\0" not in name + value


def yaml(data: bytes) -> None:
    _document, faults = parse_settings(data, "procman.yml")
    _messages(faults)


def formation(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    counts, faults = parse_formation([text])
    _messages(faults)
    assert all(0 <= count <= 1000 for count in counts.values())
    try:
        parse_changes([text])
    except ConfigError as error:
        _messages(error.faults)


def terminal(data: bytes) -> None:
    """Everything that a child can write, through all that shows it."""
    lines = data + b"\n"
    for color in (True, False):
        text = visible(lines, color=color)
        assert text.count(b"\n") == lines.count(b"\n")
        view = SharedView(color=color)
        view.prompt(data)
        view.lines(lines)
    for line in bytes(display.json_lines(display.json_prefix("web.1", "T", None), lines)).decode().splitlines():
        told = json.loads(line)
        assert (told["instance"], len(told)) == ("web.1", 3)
    cleaned = display.clean(data.decode(errors="surrogateescape"))
    assert not any(c in cleaned for c in "\x1b\n\r\x00\x7f\x9b\u2028")


def table(data: bytes) -> None:
    """The guardian's."""
    try:
        read = read_table(data)
    except ValueError:
        return
    assert len(read.records) <= len(data) // RECORD.size


def trace(data: bytes) -> None:
    try:
        _header, state, happened = read(data.splitlines(keepends=True))
        for _one, decided in replay(state, happened):
            assert isinstance(decided, str | list)
    except msgspec.DecodeError:
        return


def haproxy(data: bytes) -> None:
    """Whatever HAProxy's runtime API answers."""
    text = data.decode(errors="replace")
    said = []
    for reader in (read_state, read_used, read_version, read_pid, lambda answer: read_load(answer, "web", "scur")):
        try:
            reader(text)
        except HaproxyError as error:
            said.append(error.message)
    assert all(message.isprintable() for message in said)
    refused = refusal("del server web/web.1", text)
    assert refused is None or refused.message.isprintable()


def metric(data: bytes) -> None:
    """A document in which the autoscaler looks for a number."""
    said = []
    for reader in (
        lambda: json_number(data, "a.0"),
        lambda: sample_sum(data, SampleSelector("a", {})),
        lambda: plain_number(data.decode(errors="replace")),
    ):
        try:
            assert isinstance(reader(), float)
        except ReadingError as error:
            said.append(str(error))
    assert all(message.isprintable() for message in said)


class AnyRedis:
    """A redis that holds pieces of foreign bytes, each command answered in its documented form (RESP2)."""

    def __init__(self, data: bytes) -> None:
        self._pieces = itertools.cycle(data.split(b"|"))

    def execute_command(self, *words: str | float) -> object:
        piece = next(self._pieces)
        match words[0]:
            case "HGET" | "LINDEX":
                return piece or None
            case "SMEMBERS":
                return piece.split(b",") if piece else []
            case "ZRANGE" | "ZRANGEBYSCORE":  # members with their scores
                return (
                    [value for member in piece.split(b",") for value in (member, next(self._pieces))] if piece else []
                )
            case "XRANGE":
                return [[one, []] for one in piece.split(b",")] if piece else []
            case "XINFO GROUPS":
                return [[b"name", b"g", b"pending", len(piece), b"last-delivered-id", piece, b"lag", None]]
            case _:
                return len(piece)


def queue(data: bytes) -> None:
    """What lies in redis where the autoscaler counts what waits."""
    said = []
    for layout, names in QUEUES.items():
        source = RedisSource(redis="redis://x", **names)
        for reader in (LENGTHS.get(layout), AGES.get(layout)):
            try:
                value = reader(AnyRedis(data).execute_command, source, 1_700_000_000.0) if reader is not None else None
                if value is not None:
                    number(max(0.0, float(value)))
            except ReadingError as error:
                said.append(str(error))
    assert all(message.isprintable() for message in said)


QUEUES = {name: {name: "q", **({"group": "g"} if name == "stream" else {})} for name in LENGTHS}


TARGETS: dict[str, Callable[[bytes], None]] = {
    "protocol": protocol,
    "request": request,
    "answer": answer,
    "procfile": procfile,
    "envfile": envfile,
    "yaml": yaml,
    "formation": formation,
    "terminal": terminal,
    "table": table,
    "trace": trace,
    "haproxy": haproxy,
    "metric": metric,
    "queue": queue,
}


def checked(name: str, data: bytes) -> None:
    """Run one target; AssertionError where it takes very long."""
    began = time.monotonic()
    TARGETS[name](data)
    taken = time.monotonic() - began
    assert taken < SLOW, f"{name} took {taken:.1f} s for {len(data)} bytes"
