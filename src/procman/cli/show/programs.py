"""What `procman check` says about the programs of a Procfile, and `--fix`, which writes it into procman.yml.

Reads the two files again for line numbers and for what is already set. Decides nothing (known/advice.py does).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.cli.show.scripts import command_of
from procman.config.location import locate
from procman.config.procfile import parse_procfile
from procman.config.source import decode, read
from procman.errors import ConfigError, Fault, RefusedError
from procman.known.advice import Finding, TypeInput, advise

if TYPE_CHECKING:
    from procman.config.load import Kept
    from procman.config.options import Options
    from procman.core.spec import Plan


class ConfigTexts(Struct, frozen=True):
    """The Procfile's lines by type; procman.yml's name, path and text ("": no file), and the paths set in it."""

    lines: dict[str, int]
    name: str
    path: str
    text: str
    written: frozenset[str]


def read_texts(options: Options, plan: Plan, kept: Kept) -> ConfigTexts:
    """Read the texts. The inputs were checked before, and `kept` has those that can be read only once; a file that
    cannot be read any more is an error.
    """
    where = locate(options, os.environ)
    name, path = where.config_name, where.config
    data = kept.get(where.procfile) or read(where.procfile, plan.procfile)
    entries = [] if isinstance(data, Fault) else parse_procfile(data, plan.procfile)[0]
    text, written = "", frozenset[str]()
    if os.path.lexists(path):
        from procman.config.yamlfile import parse_settings  # noqa: PLC0415  brings yaml (25 ms), rarely there

        content = kept[path] if path in kept else read(path, name)
        decoded = content if isinstance(content, Fault) else decode(content, name)
        if isinstance(content, Fault) or isinstance(decoded, Fault):
            raise ConfigError([fault for fault in (content, decoded) if isinstance(fault, Fault)])
        text, written = decoded, frozenset(parse_settings(content, name)[0].lines)
    return ConfigTexts({entry.name: entry.line for entry in entries}, name, path, text, written)


def findings(plan: Plan, texts: ConfigTexts) -> list[Finding]:
    """Advice for every type, in the Procfile's order, for keys that procman.yml has."""
    defaults = {path.removeprefix("defaults.") for path in texts.written if path.startswith("defaults.")}
    types = [
        TypeInput(
            name=name,
            command=command_of(spec.command, spec.cwd),
            line=texts.lines.get(name, 0),
            count=plan.counts[name],
            written=frozenset(defaults | _below(texts.written, f"processes.{name}.")),
        )
        for name, spec in plan.types.items()
    ]
    return advise(types)


def _below(paths: frozenset[str], prefix: str) -> set[str]:
    return {path.removeprefix(prefix) for path in paths if path.startswith(prefix)}


def shown(finding: Finding, procfile: str) -> str:
    """One line: `Procfile:3: web (nginx): stop.signal: QUIT: why`."""
    where = f"{procfile}:{finding.line}" if finding.line else procfile
    what = f"{finding.key}: {_value(finding)}" if finding.key else finding.say
    return f"{where}: {finding.type} ({finding.program}): {what}: {finding.why}"


def _value(finding: Finding) -> str:
    value = finding.value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {one}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def report(found: list[Finding], procfile: str) -> list[str]:
    """The lines below the table; none without advice."""
    if not found:
        return []
    fixable = " (`procman check --fix` writes what is for procman.yml)" if any(one.key for one in found) else ""
    return ["", f"advice{fixable}:", *(f"  {shown(one, procfile)}" for one in found)]


def fix(found: list[Finding], texts: ConfigTexts) -> list[str]:
    """Put the advice for procman.yml into it; returns lines about that. Raises RefusedError if it cannot be written."""
    from procman.config.yamlfile import parse_settings  # noqa: PLC0415  as above
    from procman.known.yamltext import CannotInsertError, insert  # noqa: PLC0415  as above

    text = texts.text or "# How to run the process types of the Procfile.\n\n"
    lines = []
    for one in found:
        if not one.key or one.value is None:
            continue
        try:
            changed = insert(text, one.path, one.value, one.why)
        except CannotInsertError as error:
            where = f"{texts.name}:{error.line}" if error.line else texts.name
            lines.append(
                f"  {where}: cannot set {'.'.join(one.path)}: {error.why}; write {one.key}: {_value(one)} yourself"
            )
            continue
        faults = parse_settings(changed.encode(), texts.name)[1]
        if faults:
            lines.append(f"  cannot set {'.'.join(one.path)}: {faults[0].message}")
            continue
        text = changed
        lines.append(f"  set {'.'.join(one.path)}: {_value(one)}")
    if any(line.startswith("  set ") for line in lines):
        _replace(texts.path, text)
        return ["", f"wrote {texts.name}:", *lines]
    return ["", f"nothing to write into {texts.name}", *lines]


def _replace(path: str, text: str) -> None:
    """Replace the file completely or not at all, at the end of its links, with its present mode."""
    import tempfile  # noqa: PLC0415  3 ms at import, and rarely needed

    target = os.path.realpath(path)
    try:
        mode = os.stat(target).st_mode & 0o7777 if os.path.exists(target) else 0o666 & ~_umask()
        fd, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".procman.yml.")
        try:
            with open(fd, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            os.chmod(temporary, mode)
            os.replace(temporary, target)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise RefusedError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
