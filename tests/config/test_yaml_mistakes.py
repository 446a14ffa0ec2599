"""Mistakes in a procman.yml: each is answered with its line, what is wrong in plain words, and what to write instead."""

from __future__ import annotations

import pytest

from procman.config import otherwords
from procman.config.yamlfile import parse_settings


def answer(text):
    """The line, the message and the hint of the first fault."""
    _, faults = parse_settings(text.encode(), "procman.yml")
    return faults[0].line, faults[0].message, faults[0].hint


@pytest.mark.parametrize(
    ("text", "line", "said", "hint"),
    [
        ("processes:\n\tweb: {}\n", 2, "there is a tab in it", "indent with spaces, not with tabs"),
        (
            "processes:\n    web: {}\n  worker: {}\n",
            3,
            "its indentation does not match the lines above it",
            "indent the keys",
        ),
        ("processes:\n  web:\n   env: {A: 1}\n    cwd: b\n", 4, "its indentation does not match", "indent the keys"),
        ("processes:\n  web\n    tty: true\n", 3, "a ':' is not expected here", "indent the keys"),
        ("a: b: c\n", 1, "a ':' is not expected here", "put a value with ': ' into quotation marks"),
        ("processes:\n  web: {cwd: 'x}\n  worker: {}\n", 2, "a quotation mark is not closed", "close it"),
        ('processes:\n  web: {cwd: "x}\n\n\n', 2, "a quotation mark is not closed", "close it"),
        ("processes:\n  web: {tty: true\n\n", 2, "a bracket is not closed", "close it"),
        ("processes:\n  web: {watch: [a, b\n", 2, "a bracket is not closed", "close it"),
        ("processes:\n  web: {watch: [a}}\n", 2, "expected ',' or ']', but got '}'", "close the bracket"),
        ("processes: {web: {env: {A: 'it's'}}}\n", 1, "expected ',' or '}'", "quotation marks into quotation marks"),
        ("processes: {web: {env: {A: @foo}}}\n", 1, "found character '@'", "put the value into quotation marks"),
        ("processes: {web: {cwd: `pwd`}}\n", 1, "found character '`'", "put the value into quotation marks"),
        ('processes: {web: {cwd: "C:\\tmp\\q"}}\n', 1, "found unknown escape character", "write \\\\ for a backslash"),
        ("formation: {web: 1}\n---\nformation: {}\n", 2, "it contains a second document", "remove the line '---'"),
    ],
)
def test_a_mistake_of_syntax_is_said_in_plain_words_with_its_line(text, line, said, hint):
    where, message, told = answer(text)
    assert where == line
    assert message.startswith("cannot read the YAML: ")
    assert said in message
    assert hint in told


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("processes: [web]", "write the type and its settings: `processes: {web: {tty: true}}`"),
        ("processes:\n  web:{}", "write a space after the ':': `web: {}`"),
        ("processes:\n  web:\n    tty:true", "write a space after the ':': `tty: true`"),
        ("formation:\n  web:2", "write a space after the ':': `web: 2`"),
        ("processes: {web: [a]}", "write its settings: `web: {tty: true}`; the command is in the Procfile"),
        ("processes: {web: sleep 1}", "write its settings: `web: {tty: true}`; the command is in the Procfile"),
        ("processes: {web: }", "indent what belongs to it, or leave the key out"),
        ("processes: {web: {env: [A=1]}}", "write `env: {NAME: value}`"),
        ("processes: {web: {env: A=1}}", "write `env: {NAME: value}`"),
        ("processes: {web: {rolling: true}}", "write `rolling: {surge: 1}`"),
        ("processes: {web: {recycle: 300M}}", "write `recycle: {memory: 512MB}`"),
        ("processes: {web: {autoscale: true}}", "write `autoscale: 1..4`"),
        ("processes: {web: {autoscale: [1, 4]}}", "write `autoscale: 1..4`"),
        ("processes: {web: {depends_on: redis}}", "write `depends_on: [redis]`"),
        ("processes: {web: {depends_on: {redis: service_healthy}}}", "write `redis: ready`"),
        ("processes: {web: {depends_on: {migrate: process_completed_successfully}}}", "write `migrate: done`"),
        ("processes: {web: {restart: {policy: unless-stopped}}}", "write `policy: always`"),
        ("processes: {web: {restart: {policy: unexpected}}}", "write `policy: on-failure`"),
        ("processes: {web: {ready: 8080}}", "write `ready: {tcp: 8080}`"),
        ('processes: {web: {port: "80:8000"}}', "write `port: 8000`: a process opens its port itself"),
        ("groups: {backend: [web]}", "write `backend: {members: [web, worker]}`"),
        ("formation: [web]", "write `formation: {web: 2}`"),
        ("- web", "write a section and its keys, such as `formation: {web: 2}`"),
        ("web", "write a section and its keys, such as `formation: {web: 2}`"),
    ],
)
def test_what_is_no_section_is_answered_with_an_example(text, hint):
    assert answer(text)[2] == hint


@pytest.mark.parametrize("key", [key for key in otherwords.SECTIONS if key not in ("", "drain")])
def test_every_example_can_be_written(key):
    example = otherwords.SECTIONS[key].rpartition("`")[0].partition("`")[2]
    at_the_top = ("formation", "processes", "groups")
    _, faults = parse_settings((example if key in at_the_top else f"processes: {{web: {{{example}}}}}").encode(), "x")
    assert faults == []
    assert example.startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("autoscale: {web: 1..4}", "it belongs under the name of a type: `processes: {web: {autoscale: …}}`"),
        ("ready: tcp", "it belongs under the name of a type: `processes: {web: {ready: …}}`"),
        (
            "stop: {grace: 3}",
            "it belongs under the name of a type: `processes: {web: {stop: …}}`, or for every type under `defaults: {stop: …}`",
        ),
        ("processes: {web: {release: true}}", "`release:` belongs at the top of the file, not under a type"),
        ("processes: {web: {formation: 3}}", "`formation:` belongs at the top of the file, not under a type"),
        ("processes: {web: {restart: {release: true}}}", "`release:` belongs at the top of the file, not under a type"),
    ],
)
def test_a_key_in_another_place_is_told_its_own(text, hint):
    assert answer(text)[2] == hint
