"""The protocol's one table, and the schema made from it."""

import json

import jsonschema
import msgspec
import pytest
from generator.protocol import json_schema

from procman.control.codec import Error, Incoming, Request, encode_error, encode_request
from procman.control.messages import LogsParams
from procman.control.methods import METHODS, NOTIFICATIONS
from procman.core.events import Scale

SCHEMA = jsonschema.Draft202012Validator(json_schema())


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_schema_names_every_method_and_notification_with_its_types():
    definitions = json_schema()["$defs"]
    assert [request["title"] for request in definitions["request"]["oneOf"]] == list(METHODS)
    assert [told["title"] for told in definitions["notification"]["oneOf"]] == list(NOTIFICATIONS)
    for method in METHODS.values():
        assert {method.params.__name__, method.result.__name__} <= set(definitions)


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 1, "method": "none"},
        {"jsonrpc": "2.0", "id": 1, "method": "signal"},
        {"jsonrpc": "2.0", "id": 1, "method": "ps", "params": {"x": 1}},
        {"jsonrpc": "2.0", "id": 1.5, "method": "ps"},
        {"jsonrpc": "2.0", "id": 1, "method": "logs", "params": {"lines": -1}},
        {"jsonrpc": "2.0", "id": 1, "result": {"instances": "web.1"}},
        [],
    ],
)
def test_the_schema_refuses_what_the_protocol_refuses(message):
    assert not SCHEMA.is_valid(message)


def test_a_request_is_one_line_that_reads_back():
    line = encode_request(3, "scale", Scale({"web": 2}))
    assert line.count(b"\n") == 1
    request = msgspec.json.decode(line, type=Request)
    assert (request.id, request.method) == (3, "scale")
    assert msgspec.json.decode(request.params, type=Scale) == Scale({"web": 2})


def test_an_error_without_a_hint_has_no_data():
    assert json.loads(encode_error(None, 1, "cannot"))["error"] == {"code": 1, "message": "cannot"}


def test_an_error_reads_back():
    told = msgspec.json.decode(encode_error("a", 1, "cannot", "hint"), type=Incoming)
    assert isinstance(told.error, Error)
    assert (told.id, told.error.data.hint) == ("a", "hint")


def test_an_argument_that_is_not_utf8_is_sent_with_a_replacement_character():
    line = encode_request(1, "logs", LogsParams(("\udcff",)))
    assert json.loads(line)["params"]["names"] == ["\ufffd"]
