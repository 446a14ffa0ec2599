"""The known programs, from the table that `procman check` and `procman init` use."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

import procman.known
from generator.pages import table
from generator.schemas import shown
from procman.known.programs import AdviceRule, KnownProgram, Listens, ProgramTable

TABLE = Path(procman.known.__file__).with_name("programs.toml")


def known() -> str:
    """A table for each group, in the order of the file."""
    programs = _source().program
    groups = dict.fromkeys(program.group for program in programs)
    tables = {group: [_row(program) for program in programs if program.group == group] for group in groups}
    return "\n\n".join(f"### {group}\n\n{_table(rows)}" for group, rows in tables.items())


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    return table(("program", "for procman.yml", "in the command", "what is known"), rows)


def _row(program: KnownProgram) -> tuple[str, str, str, str]:
    settings = [_setting(rule) for rule in program.rules if rule.key]
    if program.listens is not None:
        settings += _ready(program.listens)
    commands = [_command(rule) for rule in program.rules if not rule.key]
    known = [f"Measured: {program.measured}"] if program.measured else []
    known += [program.note] if program.note else []
    if program.reload is not None:
        note = f" ({program.reload.note})" if program.reload.note else ""
        known.append(f"Reload: `procman signal {program.reload.signal} TYPE --{program.reload.to}`{note}.")
    words = ", ".join(f"`{pattern.removesuffix(' $')}`" for pattern in program.match)
    return f"**{program.name}**: {words}", "; ".join(settings), "; ".join(commands), " ".join(known)


def _setting(rule: AdviceRule) -> str:
    *parents, key = rule.key.split(".")
    value = f"{key}: {shown(rule.value) if not isinstance(rule.value, str) else rule.value}"
    text = f"{parents[0]}: {{{value}}}" if parents else value
    return f"`{text}`{_condition(rule)}: {rule.why}{_mark(rule)}"


def _command(rule: AdviceRule) -> str:
    say = rule.say.replace("{word}", " or ".join(rule.when))
    return f"{say}{_condition(rule)}: {rule.why}{_mark(rule)}"


def _mark(rule: AdviceRule) -> str:
    return " (measured)" if rule.measured else ""


def _condition(rule: AdviceRule) -> str:
    if rule.several:
        return ", with several"
    if rule.when and "{word}" not in rule.say:
        return " with " + " or ".join(f"`{word}`" for word in rule.when)
    return ""


def _ready(listens: Listens) -> list[str]:
    if listens.env:
        return ["`ready: tcp`"]
    return [f"`ready: {{tcp: {listens.default}}}`, or the port that is given"] if listens.default else []


def compiled() -> str:
    """The content of programs.json."""
    return msgspec.json.format(msgspec.json.encode(_source()), indent=1).decode() + "\n"


def _source() -> ProgramTable:
    """The table as people write it."""
    return msgspec.convert(tomllib.loads(TABLE.read_text(encoding="utf-8")), ProgramTable)
