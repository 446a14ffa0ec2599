"""What the documentation tells to type is understood, and what it tells to write is read without a fault."""

from __future__ import annotations

import contextlib
import re

import click
import pytest
import written
from env_values import parse_env
from generator import commands
from written import ROOT, Block

from procman.cli.group import VERBS, procman
from procman.config.procfile import parse_procfile
from procman.config.yamlfile import parse_settings

BLOCKS = written.blocks()
CALLS = [(block.page, call) for block in BLOCKS for line in written.typed(block) for call in written.calls(line)]
INLINE = [(page, call) for page, line in written.inline() for call in written.calls(line)]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def only(kind: str) -> list[tuple[str, str]]:
    """Blocks without a language, by their content."""
    looks_like = {"Procfile": r"[\w-]+: \w.*", ".env": r"(export )?\w+=.*"}[kind]
    plain = [(b.page, b.text) for b in of("") if b.page != "docs/reference/output.md"]
    return [(page, text) for page, text in plain if re.fullmatch(looks_like, _first(text))]


def _first(text: str) -> str:
    return next(line for line in text.splitlines() if not line.startswith("#"))


@pytest.mark.parametrize(
    ("page", "call"), CALLS, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_a_command_that_is_shown_is_understood(page, call):
    context = click.Context(procman, info_name="procman", auto_envvar_prefix="PROCMAN")
    if call[0] in VERBS:
        commands.command(call[0]).make_context(call[0], call[1:], parent=context)
    else:
        pytest.fail(f"{page}: no verb {call[0]}")


@pytest.mark.parametrize(
    ("page", "call"), INLINE, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_a_command_within_the_text_is_understood(page, call):
    """A verb alone names the verb, also where it needs more than that."""
    with contextlib.suppress(click.MissingParameter, click.exceptions.Exit):
        test_a_command_that_is_shown_is_understood(page, [word for word in call if word != "help"] or ["start"])


def test_there_are_commands_to_be_checked():
    assert {call[0] for _, call in CALLS} == set(VERBS)


@pytest.mark.parametrize("block", of("yaml"), ids=lambda block: block.page)
def test_a_procman_yml_that_is_shown_is_read(block):
    _, faults = parse_settings(block.text.encode(), block.page)
    assert [str(fault) for fault in faults if "grce" not in str(fault)] == []  # the tutorial's mistake is meant


@pytest.mark.parametrize(("page", "text"), only("Procfile"))
def test_a_procfile_that_is_shown_is_read(page, text):
    entries, faults = parse_procfile(text.encode(), page)
    assert entries
    assert [str(fault) for fault in faults] == []


@pytest.mark.parametrize(("page", "text"), only(".env"))
def test_an_env_file_that_is_shown_is_read(page, text):
    values, faults = parse_env(text.encode(), page, {"PORT": "5000"})
    assert values
    assert [str(fault) for fault in faults] == []


def test_readme_shows_exactly_the_commands_that_ci_runs():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    run = re.findall(r"<<'README'\n(.*?)\nREADME\n", ci, re.DOTALL)
    shown = [block.text.strip() for block in BLOCKS if block.page == "README.md" and block.language == "sh"]
    assert shown == run


def test_readme_tour_has_the_verbs_that_matter():
    shown = {call[0] for page, call in CALLS if page == "README.md"}
    assert {"ps", "scale", "logs", "restart", "shutdown"} <= shown
    assert "kill -9" in README


def test_readme_example_is_the_one_that_is_shipped():
    shipped = (ROOT / "Procfile.example").read_text(encoding="utf-8")
    assert 'web: exec python3 -m http.server --bind 127.0.0.1 "$PORT"' in README
    assert 'web: exec python3 -m http.server --bind 127.0.0.1 "$PORT"' in shipped
