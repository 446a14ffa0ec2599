"""The verbs, from the command line's own declarations: usage, help, options with their variables, examples."""

from __future__ import annotations

import re

import click

from generator.pages import console, table
from procman.cli.group import SECTIONS, VERBS, procman

_DEFAULT = re.compile(r" *\[default: (?P<value>.*?)\](?= |$) *")  # which may itself end in a bracket: `ctrl-]`
_VARIABLE = re.compile(r" *\[env var: (?P<name>\w+)\] *")


def verbs() -> str:
    """Every verb, in the order of `procman --help`."""
    parts = []
    for title, section in SECTIONS.items():
        parts.append(f"## {title}")
        parts += [_verb(name, command(name)) for name in section]
    return "\n\n".join(parts)


def completion() -> str:
    """What each shell's start-up file says."""
    setups = {
        "bash": ("~/.bashrc", 'eval "$(_PROCMAN_COMPLETE=bash_source procman)"'),
        "zsh": ("~/.zshrc", 'eval "$(_PROCMAN_COMPLETE=zsh_source procman)"'),
        "fish": ("~/.config/fish/completions/procman.fish", "_PROCMAN_COMPLETE=fish_source procman | source"),
    }
    return table(
        ("shell", "file", "line"), [(shell, f"`{file}`", f"`{line}`") for shell, (file, line) in setups.items()]
    )


def command(name: str) -> click.Command:
    """A verb's declaration, loaded as the group loads it."""
    found = procman.get_command(click.Context(procman), name)
    assert found is not None, name
    return found


def options(verb: click.Command) -> list[click.Option]:
    """Those of a verb, but for --help, which all have, and what is not for people."""
    return [p for p in verb.params if isinstance(p, click.Option) and not p.hidden]


def _verb(name: str, verb: click.Command) -> str:
    said, examples = _split(verb.help or "")
    arguments = [p.metavar or "" for p in verb.params if isinstance(p, click.Argument)]
    usage = " ".join(["procman", name, "[OPTIONS]", *arguments])
    parts = [f"### procman {name}", VERBS[name], f"`{usage}`", said]
    if examples:
        parts.append(console(examples))
    if rows := [_row(name, option) for option in options(verb)]:
        parts.append(table(("option", "what", "variable"), rows))
    return "\n\n".join(parts)


def _split(text: str) -> tuple[str, list[str]]:
    """The paragraphs of a help text, and its examples: the lines after `Examples:`."""
    said, _, after = text.replace("\b\n", "").partition("Examples:\n")
    paragraphs = [" ".join(paragraph.split()) for paragraph in said.strip().split("\n\n")]
    examples = [_example(line.strip()) for line in after.splitlines() if line.strip()]
    return "\n\n".join(paragraphs), examples


def _example(line: str) -> str:
    """`procman start      everything` -> `procman start  # everything`."""
    typed, gap, why = re.match(r"(.*?)(?:( {2,})(.*))?$", line).groups()  # type: ignore[union-attr]  # always matches
    return f"{typed}  # {why}" if gap else typed


def _row(verb: str, option: click.Option) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in option.opts)
    if option.secondary_opts:
        names += " / " + ", ".join(f"`{name}`" for name in option.secondary_opts)
    value = _value(option)
    text = option.help or ""
    default = _DEFAULT.search(text)
    said = _VARIABLE.sub("", _DEFAULT.sub(" ", text)).strip()
    if default:
        said += f" Default: {default['value']}."
    if option.multiple and "repeatable" not in said:
        said += " Repeatable."
    return f"{names} {value}".strip(), said, variable(verb, option)


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return "`" + "|".join(option.type.choices) + "`"
    return f"`{option.metavar}`" if option.metavar else ""


def variable(verb: str, option: click.Option) -> str:
    """The environment variable that stands for an option; empty where its help names none."""
    named = _VARIABLE.search(option.help or "")
    if named:
        return f"`{named['name']}`"
    return f"`PROCMAN_{verb}_{option.name}`".upper() if option.show_envvar else ""
