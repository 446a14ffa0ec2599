"""What HAProxy's runtime API answers, read strictly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from answered import INFO, STAT, STATE, STATE_HEADER, USED
from hypothesis import given
from hypothesis import strategies as st

from procman.companions.autoscaler.metrics.haproxy import COLUMNS
from procman.companions.balancer.answers import (
    HaproxyError,
    Refusal,
    read_load,
    read_pid,
    read_state,
    read_used,
    read_version,
    refusal,
)

READERS = {
    "show servers state": (read_state, STATE),
    "show servers conn": (read_used, USED),
    "show stat": (lambda answer: read_load(answer, "web", "scur"), STAT),
    "show info": (read_version, INFO),
    "show info for the pid": (read_pid, INFO),
}


def test_every_server_with_what_was_commanded_of_it():
    rows = [(s.name, s.port, s.running, s.maintenance, s.drain, s.serves) for s in read_state(STATE)]
    assert rows == [
        ("web1", 20011, True, False, False, True),  # 4: disabled in the configuration, made ready by a command
        ("web2", 20012, True, False, True, False),
        ("web3", 1, False, True, False, False),
    ]


def test_a_backend_without_servers_has_none():
    assert read_state(f"1\n{STATE_HEADER}\n\n") == ()


def test_connections_in_use_by_server():
    assert read_used(USED) == {("web", "web1"): 7, ("web", "web2"): 0, ("web", "web3"): 0}


def test_the_row_of_a_backend_in_the_statistics():
    assert [read_load(STAT, "web", column) for column in COLUMNS.values()] == [3, 12, 42]


def test_the_version():
    assert read_version(INFO) == (2, 6)
    assert read_pid(INFO) == 4242
    assert read_version("Name: HAProxy\nVersion: 3.2-dev1\n\n") == (3, 2)


@pytest.mark.parametrize(
    "answer",
    [
        "\n",
        "New server registered.\n\n",
        "Server deleted.\n",
        "no need to change the addr, port changed from '1' to '20010' by 'stats socket command'\n\n",
        "IP changed from '127.0.0.1' to '127.0.0.2', port changed from '1' to '2' by 'stats socket command'\n",
        "IP changed from '127.0.0.1' to '::1', no need to change the port by 'stats socket command'\n",
        "no need to change the addr, no need to change the port by 'stats socket command'\n",
        "nothing changed\n",
    ],
)
def test_answers_of_success(answer):
    assert refusal("set server web/web1 state ready", answer) is None


REFUSALS = {
    "No such backend.": Refusal.NO_BACKEND,
    "No such server.": Refusal.NO_SERVER,
    "Require 'backend/server'.": Refusal.OTHER,
    "'set server <srv> state' expects 'ready', 'drain' and 'maint'.": Refusal.OTHER,
    "'server' expects <name> and <addr>[:<port>] as arguments.": Refusal.OTHER,
    "unknown keyword 'bogus'.": Refusal.OTHER,
    "Already exists a server with the same name in backend.": Refusal.EXISTS,
    "Backend must use a dynamic load balancing to support dynamic servers.": Refusal.STATIC_ALGORITHM,
    "Only servers in maintenance mode can be deleted.": Refusal.NOT_IN_MAINTENANCE,
    "Server still has connections attached to it, cannot remove it.": Refusal.CONNECTED,
    "This server cannot be removed at runtime due to other configuration elements pointing to it.": Refusal.OTHER,
    "Cannot attach server : no id left in proxy": Refusal.NO_ID_LEFT,
    "Health check was not configured on this server, cannot enable.": Refusal.NO_CHECK,
    "Agent was not configured on this server, cannot enable.": Refusal.NO_CHECK,
    "Invalid addr '999.1.1.1' by 'stats socket command'": Refusal.OTHER,
    "Update for the current server address family is only supported through configuration file": Refusal.OTHER,
    "Permission denied": Refusal.FORBIDDEN,
    "Permission denied!": Refusal.FORBIDDEN,
    "Unknown command, but maybe one of the following ones is a better match:\n  show fd": Refusal.UNKNOWN_COMMAND,
    "This command is restricted to experimental mode only.": Refusal.TOO_OLD,
    "Something that nobody has seen before.": Refusal.OTHER,
}


@pytest.mark.parametrize("answer", REFUSALS)
def test_every_refusal_has_its_kind(answer):
    error = refusal("set server web/web1 state ready", f"{answer}\n\n")
    assert error is not None
    assert error.kind is REFUSALS[answer]
    assert error.message.startswith("cannot set server web/web1 state ready: ")
    assert "\n" not in error.message


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("Can't find backend.\n\n", Refusal.NO_BACKEND),
        ("Permission denied\n\n", Refusal.FORBIDDEN),
        ("Unknown command.\n", Refusal.UNKNOWN_COMMAND),
        ("", None),
        ("\n", None),
    ],
)
def test_a_message_in_place_of_a_table_is_an_error(command, answer, kind):
    with pytest.raises(HaproxyError) as caught:
        READERS[command][0](answer)
    assert kind in {None, caught.value.kind}


@pytest.mark.parametrize(
    "answer",
    [
        STATE.replace("1\n", "2\n", 1),
        STATE.replace(" srv_port", " port"),
        STATE.replace(" 20011 ", " "),
        STATE.replace(" 20011 ", " x "),
        STATE.replace("web2 127.0.0.1 2 8", "web2 127.0.0.1 2 -8"),
        STATE.replace(" 0 0 - - 0\n\n", "\n\n"),
    ],
)
def test_half_a_list_of_servers_is_an_error(answer):
    with pytest.raises(HaproxyError) as caught:
        read_state(answer)
    assert caught.value.kind is Refusal.UNREADABLE


def test_a_backend_that_has_no_statistics_is_named():
    with pytest.raises(HaproxyError, match="nope"):
        read_load(STAT, "nope", "scur")


def error_of(reader, answer):
    try:
        reader(answer)
    except HaproxyError as error:
        return error
    return None


@pytest.mark.parametrize("command", READERS)
@given(data=st.data())
def test_only_typed_errors_come_out_whatever_is_answered(command, data):
    reader, answer = READERS[command]
    for _ in range(data.draw(st.integers(0, 3))):
        begin = data.draw(st.integers(0, len(answer)))
        end = data.draw(st.integers(begin, min(len(answer), begin + 30)))
        piece = data.draw(st.one_of(st.text(max_size=8), st.sampled_from(["\n", "#", '"', ",", " ", "9" * 30, "\0"])))
        answer = answer[:begin] + piece + answer[end:]
    error = error_of(reader, answer)
    assert error is None or (error.message.startswith("cannot ") and error.message.isprintable())


RECORDED = json.loads(Path(__file__).with_name("haproxy_answers.json").read_text())
"""What 2.6, 2.8, 3.0 and 3.2 answered about five slots: one ready, one in drain."""

VERSIONS = [(version, command) for version in RECORDED for command in RECORDED[version]]


def reads(command):
    """Every reader of the answer to this command."""
    return [reader for name, (reader, _) in READERS.items() if name.startswith(command)]


@pytest.mark.parametrize("version", RECORDED)
def test_every_version_is_read(version):
    answers = RECORDED[version]
    states = [(s.name, s.port, s.maintenance, s.drain) for s in read_state(answers["show servers state"])]
    assert states[:2] == [("web1", 20001, False, False), ("web2", 20002, False, True)]
    assert len(states) == len(read_used(answers["show servers conn"])) == 5
    assert read_load(answers["show stat"], "web", "scur") == 0
    assert "{}.{}".format(*read_version(answers["show info"])) == version
    assert read_pid(answers["show info"]) > 0


@pytest.mark.parametrize(("version", "command"), VERSIONS)
def test_an_answer_that_is_cut_short_anywhere_is_an_error(version, command):
    answer = RECORDED[version][command]
    for reader in reads(command):
        assert error_of(reader, answer) is None
        for end in range(len(answer) - 1):
            error = error_of(reader, answer[:end])
            assert error is not None, answer[:end]
            assert error.message.isprintable()


def test_a_command_without_any_answer_was_not_carried_out():
    error = refusal("set server web/web1 state maint", "")
    assert error is not None
    assert error.kind is Refusal.ABSENT


@given(data=st.data())
def test_answers_that_are_mixed_up_are_typed_errors_or_whole(data):
    version, command = data.draw(st.sampled_from(VERSIONS))
    answer = RECORDED[version][command]
    for _ in range(data.draw(st.integers(1, 3))):
        other = data.draw(st.sampled_from(VERSIONS))
        more = RECORDED[other[0]][other[1]]
        at, begin = data.draw(st.integers(0, len(answer))), data.draw(st.integers(0, len(more)))
        piece = more[begin : data.draw(st.integers(begin, len(more)))] * data.draw(st.sampled_from([1, 1, 1, 200]))
        answer = answer[:at] + piece + answer[data.draw(st.integers(at, len(answer))) :]
    for reader in reads(command):
        error = error_of(reader, answer)
        assert error is None or (error.message.startswith("cannot ") and error.message.isprintable())


@given(st.text(max_size=200))
def test_what_is_no_known_success_is_a_refusal(answer):
    error = refusal("del server web/web.1", answer)
    if error is not None:
        assert error.message.isprintable()
