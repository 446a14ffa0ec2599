"""Bad input is a fault with its line; whatever is read makes files that procman reads; nothing ends in a traceback."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sources
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procman.config.envfile import read_assignments
from procman.config.keys import ProcessSection
from procman.config.procfile import parse_procfile
from procman.config.yamlfile import parse_settings
from procman.convert import compose, mprocs, pitchfork, pm2, process_compose, render, supervisord, systemd
from procman.convert.folder import Folder
from procman.convert.formats import FORMATS, format_of
from procman.convert.inspection import inspect
from procman.convert.result import Converted
from procman.errors import ConfigError

KINDS = {
    "docker-compose.yml": (sources.COMPOSE, compose.convert),
    "supervisord.conf": (sources.SUPERVISORD, supervisord.convert),
    "process-compose.yaml": (sources.PROCESS_COMPOSE, process_compose.convert),
    "mprocs.yaml": (sources.MPROCS, mprocs.convert),
    "pitchfork.toml": (sources.PITCHFORK, pitchfork.convert),
    "ecosystem.json": (sources.PM2_PRINTED, pm2.convert),
    "app.service": (sources.SYSTEMD, systemd.convert),
}
ABSENT = {"ready", "health", "depends_on", "oneshot"} - set(ProcessSection.__struct_fields__)
"""Keys that are written and not read by every version of procman.yml."""


def readable(converted: Converted) -> None:
    """What is written is read by procman itself."""
    procfile = render.procfile(converted, "made")
    if converted.types:
        entries, faults = parse_procfile(procfile.encode())
        assert [str(fault) for fault in faults] == []
        assert [(one.name, one.command) for one in entries] == [(one.name, one.command) for one in converted.types]
    faults = parse_settings(render.procman_yml(converted, "made").encode(), "procman.yml")[1]
    assert [str(fault) for fault in faults if not any(f".{key}" in fault.message for key in ABSENT)] == []
    assignments, faults = read_assignments(render.env(converted, "made").encode(), ".env")
    assert [str(fault) for fault in faults] == []
    assert {one.name: one.value for one in assignments} == converted.env
    for left in converted.left:
        assert (left.what + left.hint).isprintable()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_by_procman(kind):
    text, convert = KINDS[kind]
    readable(convert(text, kind))


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        ("docker-compose.yml", "services:\n  web:\n    command: [a\n", 3),
        ("docker-compose.yml", "services:\n  web: 3\n", 2),
        ("docker-compose.yml", "version: 3\n", 1),
        ("docker-compose.yml", "", 0),
        ("docker-compose.yml", "services:\n  web:\n    command: 'a \"b'\n", 3),
        ("docker-compose.yml", "services:\n  web:\n    build: .\n    command: a\n    tty: maybe\n", 5),
        ("process-compose.yaml", "processes:\n  a:\n    replicas: many\n", 3),
        ("process-compose.yaml", "processes:\n  a:\n    depends_on: [b]\n", 3),
        ("mprocs.yaml", "procs: []\n", 1),
        ("mprocs.yaml", "procs:\n  a:\n    cmd: ls\n", 3),
        ("pitchfork.toml", "[daemons.a]\nrun = \n", 2),
        ("pitchfork.toml", "[daemons.a]\nrun = 'x'\ndepends = 'b'\n", 3),
        ("pitchfork.toml", "a = 1\n", 0),
        ("supervisord.conf", "command=x\n", 1),
        ("supervisord.conf", "[program:a]\nnothing\n", 2),
        ("supervisord.conf", "[supervisord]\n", 0),
        ("app.service", "ExecStart=x\n", 1),
        ("app.service", "[Service]\nnothing\n", 2),
        ("app.service", "[Unit]\nA=b\n", 0),
        ("ecosystem.json", "{\n]", 2),
        ("ecosystem.json", '{"apps": [{"name": "x"}]}', 0),
        ("ecosystem.json", '{"apps": 3}', 0),
    ],
)
def test_a_fault_of_the_file_is_told_with_its_line(kind, text, line):
    with pytest.raises(ConfigError) as refused:
        KINDS[kind][1](text, kind)
    (fault,) = refused.value.faults
    assert fault.line == line
    assert fault.message.startswith("cannot ")


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_stands_in_a_file_it_is_read_or_refused(kind):
    seed, convert = KINDS[kind]

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(mutated(seed))
    def holds(text: str) -> None:
        outcome = converted_or_refused(convert, text, kind)
        if isinstance(outcome, Converted):
            readable(outcome)
        else:
            assert all(line.isprintable() and "cannot" in line for line in outcome.lines())

    holds()


def converted_or_refused(convert: Callable[[str, str], Converted], text: str, kind: str) -> Converted | ConfigError:
    try:
        return convert(text, kind)
    except ConfigError as error:
        return error


PIECES = st.sampled_from(
    [
        *[":", "\n", "  ", "{", "}", "[", "]", '"', "'", "\\", "$", "${", "%(", "%", "*a", "&a ", "- ", "=", "!!", "#"],
        *[
            "null",
            "true",
            "-1",
            "1e400",
            "99999999999999",
            "\0",
            "\x85",
            "\x9b",
            "<<: ",
            "!x ",
            "\\ud800",
            "é",
            "all",
            "web",
        ],
    ]
)


@st.composite
def mutated(draw: st.DrawFn, seed: str) -> str:
    """The seed with pieces put in, doubled, moved or left out."""
    text = seed
    for _ in range(draw(st.integers(1, 5))):
        begin = draw(st.integers(0, len(text)))
        end = draw(st.integers(begin, min(len(text), begin + 30)))
        piece = draw(PIECES | st.just("") | st.just(text[begin:end] * 2) | st.text(max_size=4))
        text = text[:begin] + piece + text[end:]
    return text


def test_a_small_file_of_aliases_of_aliases_is_refused_at_once():
    rows = ["x0: &x0 [a, a, a, a, a, a, a, a, a]"]
    rows += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 30)]
    with pytest.raises(ConfigError):
        compose.convert("\n".join([*rows, "services: {}"]), "docker-compose.yml")


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "package.json",
                "pyproject.toml",
                "requirements.txt",
                "Gemfile",
                "Cargo.toml",
                "manage.py",
                "app.py",
                "pom.xml",
            ]
        )
        | st.sampled_from(
            [
                "docker-compose.yml",
                "bin/rails",
                "go.mod",
                "cmd/x/main.go",
                "pnpm-workspace.yaml",
                "apps/a/package.json",
                "mix.exs",
            ]
        ),
        st.sampled_from(
            [
                '{"scripts": {"dev": 3, "start": "node x.js"}, "workspaces": ["apps/*", 4], "dependencies": []}',
                '{"scripts": {"start": "vite"}, "dependencies": {"vite": "1", "express": 2}, "workspaces": {"packages": "x"}}',
                "[project]\ndependencies = [1, 'celery', 'flask']\n[tool.poetry]\ndependencies = 3\n",
                "django\ncelery>=3\n-r x\n# no\n",
                'gem "rails"\ngem "sidekiq"',
                "[package]\nname = 'a'\n[[bin]]\nname = 3\n[dependencies]\naxum = '1'",
                "app = Flask(__name__)\ncelery = Celery('x')\n",
                "{:phoenix, 1}",
                "services: {db: {image: postgres}, web: {build: .}}",
            ]
        )
        | st.text(max_size=30),
        max_size=8,
    )
)
def test_whatever_a_folder_holds_it_is_read_without_an_error(texts):
    readable(inspect(Folder(frozenset(texts), texts)).converted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_format_is_known_by_the_name_of_its_file(kind):
    found = format_of(f"/x/{kind}", "")
    assert found is not None
    assert found.convert is KINDS[kind][1]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ecosystem.json"])
def test_a_format_is_known_by_its_content_under_another_name(kind):
    text, convert = KINDS[kind]
    found = format_of("/x/other.txt", text)
    assert found is not None
    assert found.convert is convert


def test_every_format_has_names():
    assert all(one.names or one.sign for one in FORMATS)
    assert format_of("README.md", "# hello") is None


def test_a_file_of_pm2_is_known_by_its_applications():
    found = format_of("apps.json", '{\n  "apps" : [{"script": "a.js"}]\n}\n')
    assert found is not None
    assert found.title == "PM2"
