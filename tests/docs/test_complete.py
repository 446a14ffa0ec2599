"""Everything that a user can say, set or see is in the reference."""

from __future__ import annotations

import ast
import re
import signal
from importlib.resources import files
from pathlib import Path

import pytest
from generator import commands
from msgspec.structs import fields
from written import DOCS, ROOT, page

from procman import errors
from procman.cli import one_off, outcome
from procman.cli.group import VERBS
from procman.cli.show.instances import HEAD
from procman.config.keys import ProcessSection, ProcmanYml
from procman.config.sections import DefaultsSection, RestartSection, StopSection
from procman.control.codec import Code
from procman.control.methods import METHODS, NOTIFICATIONS
from procman.core.spec import OnEnd, Stdin, StopMode, When
from procman.core.view import Change, Kind
from procman.kernel import signals
from procman.observe.listing import Listing, Row
from procman.text.signals import signal_name

OPTIONS = [(verb, option) for verb in VERBS for option in commands.options(commands.command(verb))]
SETTINGS = [
    field.encode_name
    for struct in (ProcmanYml, DefaultsSection, ProcessSection, RestartSection, StopSection)
    for field in fields(struct)
]

_FILE = re.compile(r"^<!-- file: (\S+) -->", re.MULTILINE)


def section(verb: str) -> str:
    """What the reference says of a verb."""
    found = re.search(rf"^### procman {verb}\n(.*?)(?=^##|\Z)", page("reference/cli.md"), re.DOTALL | re.MULTILINE)
    assert found, verb
    return found[1]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_documented_with_an_example(verb):
    assert VERBS[verb] in section(verb)
    assert f"$ procman {verb}" in section(verb) or f" procman {verb} " in section(verb)


@pytest.mark.parametrize(("verb", "option"), OPTIONS, ids=lambda value: getattr(value, "name", value))
def test_every_option_is_documented_with_its_variable(verb, option):
    for name in (*option.opts, *option.secondary_opts):
        assert f"`{name}`" in section(verb)
    assert commands.variable(verb, option) in section(verb)


@pytest.mark.parametrize("key", SETTINGS)
def test_every_key_of_procman_yml_is_documented(key):
    assert f"| `{key}` |" in page("reference/procman-yml.md")


@pytest.mark.parametrize("word", [*When, *StopMode, *OnEnd, *Stdin], ids=str)
def test_every_word_that_procman_yml_takes_is_documented(word):
    assert f"`{word.value}`" in page("reference/procman-yml.md")


@pytest.mark.parametrize("mode", StopMode, ids=str)
def test_every_stop_mode_is_explained(mode):
    assert f"* **{mode.value}**" in page("reference/signals.md")


@pytest.mark.parametrize("method", METHODS)
def test_every_protocol_method_is_documented(method):
    assert f"### `{method}` method" in page("reference/protocol.md")


@pytest.mark.parametrize("notification", NOTIFICATIONS)
def test_every_notification_is_documented(notification):
    assert f"### `{notification}` notification" in page("reference/protocol.md")


@pytest.mark.parametrize("code", Code, ids=str)
def test_every_error_code_of_the_protocol_is_documented(code):
    assert f"| `{code.value}` |" in page("reference/protocol.md")


@pytest.mark.parametrize("kind", Kind, ids=str)
def test_every_event_kind_is_documented(kind):
    assert f"| `{kind.value}` |" in page("reference/events.md")


@pytest.mark.parametrize("field", [field.encode_name for field in fields(Change)])
def test_every_member_of_an_event_is_documented(field):
    assert f"`{field}`" in page("reference/events.md")


@pytest.mark.parametrize("field", [*fields(Listing), *fields(Row)], ids=lambda field: field.encode_name)
def test_every_member_of_ps_as_json_is_documented(field):
    assert f"`{field.encode_name}`" in page("reference/ps.md")


def test_every_column_of_ps_is_documented():
    assert [column for column in HEAD if f"\n| {column} |" not in page("reference/ps.md")] == []


def test_every_phase_is_documented():
    shown = set(re.findall(r"^\| [A-Z]+ \| (\w+) \|", page("explanation/state-diagram.md"), re.MULTILINE))
    assert {phase for phase in shown if f"\n| `{phase}` |" not in page("reference/ps.md")} == set()
    assert "ready" in shown


def test_every_exit_code_is_documented():
    kinds = (errors.ProcmanError, errors.ConfigError, errors.RefusedError, errors.NotRunningError, errors.UsageError)
    codes = {0, 130, 141} | {kind.exit_code for kind in kinds}
    assert all(f"| {code} |" in page("reference/exit-codes.md") for code in codes)
    assert all(str(code) in (outcome.__doc__ or "") for code in codes)  # the list above is the program's own
    for kind in (one_off.NotFoundError, one_off.NotExecutableError):
        assert str(kind.exit_code) in page("reference/exit-codes.md")


def test_every_signal_that_procman_handles_is_documented():
    handled = {name for name in dir(signal.Signals) if f"signal.{name}," in _source() or f"signal.{name}:" in _source()}
    table = page("reference/signals.md").partition("## How a stop goes")[0]
    assert {name for name in handled - {"SIGCHLD", "SIGRTMAX"} if f"`{name.removeprefix('SIG')}`" not in table} == set()
    assert {"SIGINT", "SIGHUP"} <= handled
    ending = {signal_name(number) for number in signals.ENDING if number < signal.SIGRTMIN}
    assert {name for name in ending if f"`{name}`" not in table} == set()


def _source() -> str:
    from inspect import getsource

    return getsource(signals)


@pytest.mark.parametrize("name", ["PORT", "PS", "PROCMAN_TYPE", "PROCMAN_INDEX", "PROCMAN_SOCKET", "PROCMAN_INSTANCE"])
def test_every_variable_that_a_process_finds_is_documented(name):
    assert f"`{name}`" in page("reference/environment.md")


def test_every_room_and_module_stands_in_the_table_of_rooms():
    """But for the verbs, whose files have their names, and what is inside a companion or the live screen."""
    rooms = page("explanation/architecture.md").split("```")[1]
    package = Path(str(files("procman")))
    closed = [package / "cli/verbs", package / "cli/live", *(path for path in (package / "companions").iterdir())]
    modules = [path for path in package.rglob("*.py") if not path.name.startswith("_")]
    found = {path.name for path in modules if not any(folder in path.parents for folder in closed)}
    found |= {f"{path.parent.name}/" for path in package.rglob("__init__.py") if path.parent != package}
    assert {name for name in found if not re.search(rf"(?<![\w.]){re.escape(name)}", rooms)} == set()


def test_every_reference_of_where_to_find_it_leads_to_something():
    section = page("explanation/architecture.md").partition("## Where to find it")[2].partition("\n## ")[0]
    references = re.findall(r"`([\w/]+\.py)(?::([\w.]+))?`", section)
    assert len(references) > 30
    assert {f"{path}:{name}" for path, name in references if not _is_there(path, name)} == set()
    folders = re.findall(r"(?:file|folder|module) in `([\w/]+)`", section)
    assert len(folders) == 5
    assert all((Path(str(files("procman"))) / folder).is_dir() for folder in folders)


def _is_there(path: str, name: str) -> bool:
    """Whether the file, of the package or a test, has a class, function, method or constant of this name."""
    root = Path(__file__).parents[2] if path.startswith("tests/") else Path(str(files("procman")))
    if not (root / path).is_file():
        return False
    node: ast.Module | ast.stmt = ast.parse((root / path).read_text())
    for part in filter(None, name.split(".")):
        found = [one for one in getattr(node, "body", []) if part in _names(one)]
        if not found:
            return False
        node = found[0]
    return True


def _names(node: ast.stmt) -> set[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {one.id for one in targets if isinstance(one, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case _:
            return set()


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_a_file_to_write_is_named_in_the_text_before_it(path):
    """The mark that names it for the tests is a comment, which no reader sees."""
    text = path.read_text("utf-8")
    before = [(mark[1], text[: mark.start()].rstrip().rpartition("\n\n")[2]) for mark in _FILE.finditer(text)]
    assert [name for name, paragraph in before if name not in paragraph] == []
