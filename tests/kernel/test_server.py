"""The server: JSON-RPC exactly, one client at a time."""

import json
import os

import jsonschema
import pytest
from generator.protocol import json_schema
from served import refuse, request

from procman import __version__
from procman.control import methods
from procman.core.actions import Reply
from procman.core.events import Restart, Scale, SendSignal, Shutdown, Stop
from procman.core.view import TypeView
from procman.errors import ConfigError, Fault


def error(answer):
    return answer["error"]["code"], answer["error"]["message"]


def test_hello_says_who_answers(peer):
    answer = peer.ask("hello", id="a")
    assert answer == {
        "jsonrpc": "2.0",
        "id": "a",
        "result": {
            "version": __version__,
            "pid": os.getpid(),
            "root": "/srv/app",
            "protocol": 1,
            "upgrades": 0,
            "capabilities": list(methods.capabilities()),
        },
    }


def test_ps_tells_the_whole_view(peer):
    result = peer.ask("ps")["result"]
    assert result["fleet"]["formation"] == {"web": 2, "worker": 0}
    assert [i["name"] for i in result["fleet"]["instances"]] == ["web.1", "web.2"]


@pytest.mark.parametrize(
    ("method", "params", "command"),
    [
        ("scale", {"to": {"web": 3}, "by": {"worker": -1}}, Scale({"web": 3}, {"worker": -1})),
        ("restart", {"names": ["web"]}, Restart(("web",))),
        ("restart", None, Restart()),
        ("stop", {"all": True}, Stop(all=True)),
        (
            "signal",
            {"signal": "SIGUSR1", "names": ["web.1"], "leader": True},
            SendSignal("USR1", ("web.1",), leader=True),
        ),
        ("shutdown", {}, Shutdown()),
    ],
)
def test_a_command_reaches_the_core_and_is_answered_with_the_new_formation(served, peer, method, params, command):
    answer = peer.ask(method, params)
    assert served.backend.commands == [command]
    formation = {"web": 2, "worker": 0}
    assert answer["result"] == {
        "instances": ["web.1"],
        "formation": formation,
        "operation": 7,
        "before": formation,
        "folder": None,
    }


def test_a_refusal_carries_message_and_hint(served, peer):
    served.backend.reply = refuse("cannot find a process type 'wbe'", "did you mean 'web'?")
    assert peer.ask("scale", {"to": {"wbe": 1}})["error"] == {
        "code": 1,
        "message": "cannot find a process type 'wbe'",
        "data": {"hint": "did you mean 'web'?"},
    }


def test_a_reload_that_is_granted_is_answered_as_any_command(peer):
    assert peer.ask("reload")["result"]["instances"] == ["web.1"]


def test_a_reload_with_faulty_inputs_tells_each_fault_in_a_line(served, peer):
    faults = [Fault("Procfile", 3, "cannot read 'x'"), Fault("Procfile", 5, "cannot read 'y'", "add ':'")]
    served.backend.reply = lambda _: ConfigError(faults)
    assert error(peer.ask("reload")) == (2, "Procfile:3: cannot read 'x'\nProcfile:5: cannot read 'y' (add ':')")


@pytest.mark.parametrize("method", ["__class__", "stop.__globals__", "", "PS"])
def test_only_the_methods_of_the_table_exist(peer, method):
    assert error(peer.ask(method)) == (-32601, f"cannot find the method '{method}'")


def test_a_misspelt_method_is_told_the_nearest(peer):
    assert peer.ask("scael")["error"]["data"]["hint"] == "did you mean 'scale'?"


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"to": {"web": "3"}}, "`$.to[...]`"),
        ({"too": {}}, "unknown field `too`"),
        ([1], "Expected `object`, got `array`"),
        (None, "Expected `object`, got `null`"),
    ],
)
def test_wrong_parameters_are_told_with_their_path(served, peer, params, where):
    peer.send({"jsonrpc": "2.0", "id": 1, "method": "scale", "params": params})
    code, message = error(peer.messages(1)[0])
    assert (code, where in message) == (-32602, True)
    assert served.backend.commands == []


@pytest.mark.parametrize(
    "line",
    [b"\n", b"[1,\n", b"{\n", b"\xff\n", b"\x00\n", b"[" * 50_000 + b"\n", b'{"jsonrpc": "2.0", "method": "\xff"}\n'],
)
def test_what_is_not_json_is_a_parse_error(peer, line):
    peer.send(line)
    [answer] = peer.messages(1)
    assert (answer["id"], answer["error"]["code"]) == (None, -32700)


@pytest.mark.parametrize(
    "line",
    [
        b"[]\n",
        b'[{"jsonrpc": "2.0", "id": 1, "method": "ps"}]\n',
        b'{"id": 1, "method": "ps"}\n',
        b'{"jsonrpc": "1.0", "id": 1, "method": "ps"}\n',
        b'{"jsonrpc": "2.0", "id": 1}\n',
        b'{"jsonrpc": "2.0", "id": 1.5, "method": "ps"}\n',
        b'{"jsonrpc": "2.0", "id": 1, "method": 1}\n',
        b"null\n",
    ],
)
def test_json_that_is_no_request_is_an_invalid_request(peer, line):
    peer.send(line)
    [answer] = peer.messages(1)
    assert (answer["id"], answer["error"]["code"]) == (None, -32600)


@pytest.mark.parametrize("id", [0, -5, "", "x" * 100, None, 2**62])
def test_the_id_is_echoed(peer, id):  # noqa: A002
    assert peer.ask("hello", id=id)["id"] == id


def test_a_request_without_id_is_carried_out_and_not_answered(served, peer):
    peer.send({"jsonrpc": "2.0", "method": "restart"}, {"jsonrpc": "2.0", "method": "nonsense"}, request("hello", id=9))
    assert peer.messages(1)[0]["id"] == 9
    assert served.backend.commands == [Restart()]


def test_pipelined_requests_are_answered_in_order(peer):
    peer.send(*(request("hello", id=n) for n in range(300)))
    assert [answer["id"] for answer in peer.messages(300)] == list(range(300))


def test_a_request_that_comes_in_pieces_is_put_together(peer):
    line = json.dumps(request("hello")).encode() + b"\r\n"
    for at in range(len(line)):
        peer.send(line[at : at + 1])
    assert peer.messages(1)[0]["id"] == 1


def test_requests_sent_before_the_client_shut_its_side_are_answered(served):
    peer = served.peer()
    peer.send(*(request("hello", id=n) for n in range(40)))
    peer.socket.shutdown(1)  # SHUT_WR
    assert len(peer.messages(40)) == 40
    peer.wait_closed()


def test_a_fault_in_a_handler_is_told_and_logged_and_the_client_goes_on(served, peer):
    served.backend.reply = lambda _command: 1 // 0
    assert error(peer.ask("restart")) == (-32603, "cannot do that: ZeroDivisionError in procman")
    assert [type(fault) for fault in served.backend.faults] == [ZeroDivisionError]
    assert peer.ask("hello")["result"]


def test_a_path_that_is_not_utf8_is_told_with_replacement_characters(served, peer):
    served.backend.root = os.fsdecode(b"/srv/\xff")
    assert peer.ask("hello")["result"]["root"] == "/srv/\ufffd"


def test_every_message_fits_the_schema(served, peer):
    schema = jsonschema.Draft202012Validator(json_schema())
    served.backend.history.append("web.1", 1.0, b"a line\n")
    served.backend.reply = lambda _: Reply(0, (), {})
    served.backend.upgrade = lambda told: told("9.9.9")
    needed = {
        "signal": {"signal": "TERM", "names": ["web"]},
        "attach": {"instance": "web"},
        "why": {"instance": "web.1"},
        "hold": {"by": "b", "names": ["web"], "seconds": 1},
        "release": {"by": "b", "instance": "web.1", "generation": 1},
        "report": {"instance": "@balancer.1", "generation": 1},
        "input": {"stream": 1},
        "resize": {"stream": 1, "columns": 80, "rows": 24},
    }
    for method in methods.METHODS:
        params = needed.get(method, {})
        schema.validate(request(method, params))
        schema.validate(peer.ask(method, params))
    for message in (*peer.messages(2), peer.ask("none"), peer.ask("scale", {"to": 1})):
        schema.validate(message)


# ---- why, release


def test_why_answers_for_an_instance_or_a_type_that_has_one(served, peer):
    assert peer.ask("why", {"instance": "web.1"})["result"] == {"instance": "web.1", "lines": ["web.1 is ready"]}
    served.backend.formation = {"web": 1}
    assert peer.ask("why", {"instance": "web"})["result"]["instance"] == "web.1"


def test_why_answers_for_a_companion(served, peer):
    served.backend.companions = ("@balancer.1",)
    assert peer.ask("why", {"instance": "@balancer.1"})["result"]["instance"] == "@balancer.1"
    assert peer.ask("why", {"instance": "@balancer"})["result"]["instance"] == "@balancer.1"


def test_why_refuses_what_means_no_one_instance(served, peer):
    assert peer.ask("why", {"instance": "web"})["error"]["message"] == "cannot explain web: it has 2 instances"
    assert "error" in peer.ask("why", {"instance": "wbe"})


@pytest.mark.parametrize("name", ["worker", "worker.1"])
def test_why_says_of_a_type_at_zero_what_would_start_one(served, peer, name):
    error = peer.ask("why", {"instance": name})["error"]
    assert error["message"] == f"cannot explain {name}: worker has no instance"
    assert error["data"]["hint"] == "`procman scale worker=1` starts one"
    served.backend.types = (TypeView(type="worker", desired=0, ready=0, updated=0, autoscaled=True),)
    hint = peer.ask("why", {"instance": name})["error"]["data"]["hint"]
    assert hint == "its count follows demand: `procman autoscale worker` shows readings and decisions"


def test_a_companion_reports_of_itself_and_nobody_else_does(served, peer):
    assert peer.ask("report", {"instance": "@balancer.1", "generation": 2, "fault": "no HAProxy"})["result"]
    assert served.backend.reported == [("@balancer.1", 2, "no HAProxy")]
    assert "error" in peer.ask("report", {"instance": "web.1", "generation": 2})


def test_a_release_is_passed_on_with_the_run(served, peer):
    assert peer.ask("release", {"by": "balancer", "instance": "web.1", "generation": 3})["result"]["instances"] == [
        "web.1"
    ]
    assert served.backend.released == [("web.1", 3, "balancer")]
