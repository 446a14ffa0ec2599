"""procman.yml: what is read, what is refused and where, and the schema that says the same."""

from __future__ import annotations

import jsonschema
import msgspec
import pytest
import yaml
from folders import SCHEMA
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from procman.config import otherwords
from procman.config.keys import ProcessSection, ProcmanYml
from procman.config.yamlfile import parse_settings
from procman.core.spec import OnEnd, Stdin, StopMode, When

EVERYTHING = """\
formation: {web: 2, worker: 1}
defaults: {restart: {policy: on-failure}, stop: {signal: TERM, grace: 10}}
processes:
  web:
    env: {WEB_CONCURRENCY: 1}
    port: 8000
    cwd: services/web
    restart: {policy: on-failure, delay: 0.5, max_delay: 30, reset_after: 30, max_restarts: null, no_retry_exit_codes: []}
    stop: {signal: TERM, grace: 10, mode: top-down}
    success_exit_codes: [0, 143]
    on_end: stay
    stdin: "null"
  beat: {max: 1}
"""


TIME = "expected a number, or a time such as 90s, 5m or 12h"


def settings(text):
    document, faults = parse_settings(text.encode(), "procman.yml")
    assert [str(fault) for fault in faults] == []
    return document.settings


def faults_of(text):
    faults = parse_settings(text if isinstance(text, bytes) else text.encode(), "procman.yml")[1]
    return [str(fault) for fault in faults]


def only_fault(text):
    (fault,) = faults_of(text)
    return fault


def process(text):
    return settings(f"processes:\n  web: {{{text}}}").processes["web"]


def test_the_whole_file_is_read():
    read = settings(EVERYTHING)
    web = read.processes["web"]
    assert read.formation == {"web": 2, "worker": 1}
    assert read.defaults.stop.grace == 10
    assert web.env == {"WEB_CONCURRENCY": "1"}
    assert (web.port, web.cwd, web.on_end, web.stdin) == (8000, "services/web", OnEnd.STAY, Stdin.NULL)
    assert (web.restart.policy, web.restart.delay, web.restart.max_restarts) == (When.ON_FAILURE, 0.5, None)
    assert (web.stop.signal, web.stop.mode, web.success_exit_codes) == ("TERM", StopMode.TOP_DOWN, (0, 143))
    assert read.processes["beat"].max == 1


def test_what_is_not_written_is_unset():
    assert process("max: 1").restart.delay is UNSET
    assert process("max: 1").port is UNSET


def test_lines_are_those_of_the_values():
    document, _ = parse_settings(EVERYTHING.encode(), "procman.yml")
    assert document.lines["processes.web.cwd"] == 7
    assert document.lines["processes.beat.max"] == 13
    assert document.lines["formation.worker"] == 1


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "---\n...\n", "\ufeff", "{}"])
def test_an_empty_file_is_fine(text):
    assert settings(text) == ProcmanYml()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1.10", "1.10"), ("1", "1"), ("0o17", "0o17"), ("0x1F", "0x1F"), ("yes", "yes"), ("True", "True"), ("on", "on"),
        ("1e3", "1e3"), ("1_000", "1_000"), ("2001-01-01", "2001-01-01"), ("12:30:00", "12:30:00"), ("=", "="),
        ("''", ""), ("'null'", "null"), ('"a\\nb"', "a\nb"), (".inf", ".inf"), ("!!str 1", "1"), ("${A} #b", "${A}"),
    ],
)  # fmt: skip
def test_values_of_the_environment_are_kept_as_written(written, kept):
    assert settings(f"processes:\n  web:\n    env:\n      A: {written}\n").processes["web"].env == {"A": kept}


@pytest.mark.parametrize("name", ["on", "yes", "no", "1", "null", "~", "1.5"])
def test_names_are_text_whatever_yaml_takes_them_for(name):
    assert settings(f"formation: {{{name}: 2}}\nprocesses: {{{name}: {{}}}}").formation == {name: 2}


def test_a_block_of_text_is_a_value():
    assert settings("processes:\n  web:\n    env:\n      A: |\n        x\n        y\n").processes["web"].env == {
        "A": "x\ny\n"
    }


def test_an_alias_is_what_it_stands_for():
    read = settings("processes:\n  a: {env: &shared {A: 1}}\n  b: {env: *shared}\n").processes
    assert read["a"].env == read["b"].env == {"A": "1"}


def test_the_message_has_file_line_path_and_what_is_expected():
    text = "processes:\n  web:\n    port: 1\n    stop:\n      grace: ten\n"
    assert only_fault(text) == "procman.yml:5: processes.web.stop.grace: cannot use 'ten': " + TIME


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("restart: {delay: -1}", "a number >= 0"),
        ("restart: {delay: .nan}", "a number >= 0"),
        ("restart: {max_delay: .inf}", "a number <= 31536000"),
        ("restart: {reset_after: true}", "a number"),
        ("restart: {reset_after: null}", "a number"),
        ("restart: {max_restarts: -1}", "a whole number >= 0"),
        ("restart: {max_restarts: 1.5}", "a whole number or null"),
        ("restart: {no_retry_exit_codes: 78}", "a list (write [78])"),
        ("restart: {no_retry_exit_codes: [256]}", "a whole number <= 255"),
        ("restart: {policy: allways}", "one of always, on-failure, never (did you mean 'always'?)"),
        ("restart: nothing", "a mapping (write `restart: {policy: always}`)"),
        ("stop: {signal: 15}", "text"),
        ("stop: {signal: ''}", "text of length >= 1"),
        ("stop: {grace: '10'}", "a number, or a time such as 90s, 5m or 12h"),
        ("stop: {grace: [1]}", "a number"),
        ("stop: {grace: {a: 1}}", "a number"),
        ("stop: {mode: no}", "one of top-down, group, leader"),
        ("stdin: null", 'one of null, open (write it in quotes: "null")'),
        ("port: 0", "a whole number >= 1"),
        ("port: 65536", "a whole number <= 65535"),
        ("port: '80'", "a whole number"),
        ("port: " + "9" * 100, "a whole number <= 65535"),
        ("cwd: 1", "text"),
        ("cwd: ''", "text of length >= 1"),
        ("max: 0", "a whole number >= 1"),
        ("success_exit_codes: [-1]", "a whole number >= 0"),
        ("success_exit_codes: [x]", "a whole number"),
        ("env: [A=1]", "a mapping (write `env: {NAME: value}`)"),
        ("env: {A: [1]}", "text"),
        ("env: {A: }", "text (write '' for an empty one)"),
        ("env: {A: {B: 1}}", "text"),
        ("env: ", "a mapping (indent what belongs to it, or leave the key out)"),
    ],
)
def test_a_wrong_value_says_what_is_expected(text, expected):
    assert only_fault(f"processes:\n  web: {{{text}}}").endswith(f"expected {expected}")


@pytest.mark.parametrize("value", ["-1", "1001", "x", "1.5", "yes", "null", "[1]", "'2'"])
def test_a_wrong_count_is_refused(value):
    assert only_fault(f"formation: {{web: {value}}}").startswith("procman.yml:1: formation.web: cannot use ")


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ("proceses: {}", "procman.yml:1: proceses", "processes"),
        ("processes:\n  web:\n    max: 1\n    prot: 1", "procman.yml:4: processes.web.prot", "port"),
        ("processes: {web: {stop: {gracee: 1}}}", "procman.yml:1: processes.web.stop.gracee", "grace"),
        ("defaults:\n  restart:\n    dely: 1", "procman.yml:3: defaults.restart.dely", "delay"),
    ],
)
def test_an_unknown_key_has_its_line_and_the_nearest_known_one(text, where, hint):
    assert only_fault(text) == f"{where}: cannot use this key (did you mean '{hint}'?)"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("formation: {}\nformation: {}", "procman.yml:2: formation"),
        ("formation:\n  web: 1\n  web: 2", "procman.yml:3: formation.web"),
        ("formation: {1: 1, '1': 2}", "procman.yml:1: formation.1"),
        ("processes:\n  a: {}\n  a: {}", "procman.yml:3: processes.a"),
        ("processes: {a: {max: 1, max: 2}}", "procman.yml:1: processes.a.max"),
        ("processes: {a: {stop: {grace: 1, grace: 2}}}", "procman.yml:1: processes.a.stop.grace"),
        ("processes: {a: {env: {A: 1, A: 2}}}", "procman.yml:1: processes.a.env.A"),
        ("defaults: {stop: {}, stop: {}}", "procman.yml:1: defaults.stop"),
    ],
)
def test_a_key_twice_is_refused_at_every_level(text, where):
    assert only_fault(text).startswith(f"{where}: cannot set it twice: line ")


def test_every_fault_is_found_in_one_run():
    text = (
        EVERYTHING.replace("8000", "x")
        .replace("delay: 0.5", "delay: -1")
        .replace("max: 1", "maxx: 1")
        .replace("web: 2", "web: -2")
    )
    assert [fault.split(":")[1] for fault in faults_of(text)] == ["1", "6", "8", "13"]


def test_several_faults_of_one_section_are_all_found():
    assert len(faults_of("processes: {web: {restart: {delay: x, policy: y, nope: 1, max_delay: z}}}")) == 4


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"a: b\n\xff", 2),
        (b"a: b\n\0", 2),
        (b"a:\n\tb: c", 2),
        (b"a: b\n---\nc: d", 2),
        (b"a: [", 1),
        (b"a: 'x", 1),
        (b"\nx: *nobody", 2),
        (b'\na: "\\UFFFFFFFF"', 2),
        (b"[" * 5000, 1),
        (b"{" * 5000, 1),
        (b"%YAML 9.9\n---\n{}", 1),
        (b"- web", 1),
        (b"web", 1),
        (b"1", 1),
        (b"!!python/object/apply:os.system ['true']", 1),
        (b"processes: !!set {}", 1),
        (b"processes: !mine {}", 1),
        (b"processes:\n  web:\n    cwd: !mine x", 3),
        (b"processes:\n  web:\n    port: !!int x", 3),
        (b"processes:\n  web:\n    port: !!bool maybe", 3),
        (b"processes:\n  web:\n    port: 0b_", 3),
        (b"formation:\n  web: " + b"9" * 5000, 2),
        (b"processes:\n  ? [a]\n  : {}", 2),
        (b"processes:\n  <<: {a: {}}", 2),
        (b'processes:\n  web:\n    cwd: "a\\0b"', 3),
        (b'processes:\n  web:\n    env: {A: "\\ud800"}', 3),
        ("formation: {}\n".encode("utf-16"), 1),
    ],
)  # fmt: skip
def test_what_is_no_good_yaml_is_a_fault_with_a_line(text, line):
    assert {fault.split(":")[1] for fault in faults_of(text)} == {str(line)}


def test_a_tab_gets_its_hint():
    assert "not with tabs" in only_fault("a:\n\tb: c")


def test_laughs_by_the_billion_cost_nothing():
    lines = ["a0: &a0 {x: 1}"] + [
        f"a{n}: &a{n} {{{', '.join(f'k{k}: *a{n - 1}' for k in range(9))}}}" for n in range(1, 40)
    ]
    assert len(faults_of("\n".join(lines) + "\nprocesses: {web: {env: *a39}}")) == 40 + 9


def test_a_node_inside_itself_is_refused():
    assert only_fault("processes: &p {web: *p}").startswith("procman.yml:1: processes.web.web: cannot use this key")


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (EVERYTHING, True),
        ("{}", True),
        ("processes: {web: {env: {A: yes, B: 1.5, C: x}}}", True),
        ("processes: {web: {env: {A: null}}}", False),
        ("processes: {web: {env: [1]}}", False),
        ("processes: {web: {stdin: null}}", False),
        ("processes: {web: {nope: 1}}", False),
        ("processes: {web: }", False),
        ("formation: {web: 1001}", False),
        ("defaults: {stop: {grace: ten}}", False),
        ("defaults: {stop: {grace: -1}}", False),
        ("defaults: {env: {A: 1}}", False),
    ],
)
def test_the_schema_and_the_reader_agree(text, good):
    assert (not faults_of(text)) is good
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(yaml.safe_load(text)) is good


def test_every_key_is_described():
    for definition in SCHEMA["$defs"].values():
        for key, value in definition.get("properties", {}).items():
            assert "description" in value or "$ref" in value, key


FRAGMENTS = [
    "formation", "processes", "defaults", "web", "env", "stop", "restart", "grace", "port", ": ", ":\n", "\n", "  ", "{", "}", "[", "]", ", ",
    "&a ", "*a", "<<", "!!int ", "!!float ", "!!binary ", "!x ", "- ", "? ", "|", ">", "'", '"', "\\", "#", "1", "-1", "0b_", "0x", "1:2", ".nan",
    "null", "~", "yes", "=", "\t", "%YAML 1.1\n", "---\n", "...\n", "\\U", "FFFFFFFF", "\u2028", "\x85",
]  # fmt: skip


@given(st.binary() | st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(lambda parts: "".join(parts).encode()))
def test_any_bytes_give_settings_and_faults_and_nothing_else(data):
    document, faults = parse_settings(data, "procman.yml")
    assert isinstance(document.settings, ProcmanYml)
    assert all("cannot " in fault.message and "\n" not in str(fault) for fault in faults)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["web", "env", "stop", "restart", "grace", "port", "max", "A"]), inner, max_size=4
        )
    ),
)


@given(st.dictionaries(st.sampled_from(["formation", "defaults", "processes"]), JSON))
def test_values_of_any_shape_give_settings_and_faults_and_nothing_else(values):
    parse_settings(yaml.safe_dump(values).encode(), "procman.yml")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("processes: {web: {replicas: 3}}", "the count is set under `formation: {web: 3}`"),
        ("processes: {web: {command: x}}", "the command is in the Procfile"),
        ("processes: {web: {environment: {A: 1}}}", "did you mean 'env'?"),
        ("processes: {web: {working-dir: x}}", "did you mean 'cwd'?"),
        ("processes: {web: {stopwaitsecs: 3}}", "write `stop: {grace: 30}`"),
        ("processes: {web: {restart: always}}", "write `restart: {policy: always}`"),
        ("processes: {web: {restart: no}}", "write `restart: {policy: never}`"),
        ("processes: {web: {stop: SIGINT}}", "write `stop: {signal: SIGINT}`"),
        ("processes: {web: {stop: 30s}}", "write `stop: {grace: 30s}`"),
        ("processes: {web: {ready: /up}}", "write `ready: {http: /up}`"),
        ("processes: {web: {health: http}}", "write `health: {http: /health}`"),
        ("formation: web=2,worker=1", "write `formation: {web: 2, worker: 1}`"),
        ("services: {web: {}}", "did you mean 'processes'?"),
        ("web: {stop: {grace: 3}}", "settings of a type belong under `processes: {web: …}`"),
        ("version: 3", "leave it out"),
    ],
)
def test_the_words_of_other_tools_are_answered_with_what_to_write(text, hint):
    _, (fault,) = parse_settings(text.encode(), "procman.yml")
    assert fault.hint == hint


@pytest.mark.parametrize("key", sorted({*otherwords.OF_A_TYPE, *otherwords.AT_THE_TOP}))
def test_no_such_word_is_a_key(key):
    known = {field.encode_name for field in msgspec.structs.fields(ProcessSection)}
    known_above = {field.encode_name for field in msgspec.structs.fields(ProcmanYml)}
    assert key not in (known if key in otherwords.OF_A_TYPE else known_above)


def test_a_secret_is_in_no_hint():
    _, (fault,) = parse_settings(b"processes: {web: {env: {restart: [always]}}}", "procman.yml")
    assert "always" not in str(fault)
