"""A page as the steps that its reader takes: files to write, commands to type, and what is printed.

Marks are comments of Markdown, which no reader sees. Each belongs to the fenced block that follows it, with at most a
blank line between:

* `<!-- file: procman.yml -->`: the block is written to that file of the page's folder.
* `<!-- skip: REASON -->`: the block's commands are not run.
* `<!-- as: COMMAND -->`: this is typed in place of the block.
* `<!-- shown -->`: each line of the block has appeared in the terminal of `procman start`.

And anywhere, `<!-- varies: PATTERN -->`: what matches is another text each time. Blocks of `sh` and `console` are run
unless they are marked otherwise; those of other languages are not.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>file|skip|as|shown)(?:: (?P<value>[^\n]*))? -->\n\n?)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_VARIES = re.compile(r"^<!-- varies: (?P<pattern>.*) -->$", re.MULTILINE)


class File(NamedTuple):
    name: str
    text: str


class Command(NamedTuple):
    """A line that is typed; `printed` is what the page shows below it, None where the page shows no output at all."""

    line: str
    printed: list[str] | None
    interrupted: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether the page shows that it fails."""
        refused = any(line.startswith("procman: cannot") or ": cannot " in line for line in self.printed or ())
        return refused and "||" not in self.line


class Shown(NamedTuple):
    lines: list[str]


Step = File | Command | Shown


def varying(page: Path) -> list[str]:
    return [match["pattern"] for match in _VARIES.finditer(page.read_text(encoding="utf-8"))]


def steps(page: Path) -> list[Step]:
    found: list[Step] = []
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        match block["mark"], block["language"]:
            case "skip", _:
                assert block["value"], f"{page.name}: a block is skipped without a reason"
            case "as", _:
                found.append(Command(block["value"], None))
            case "file", _:
                found.append(File(block["value"], block["text"]))
            case "shown", _:
                found.append(Shown(block["text"].splitlines()))
            case _, "console":
                found += _console(block["text"])
            case _, "sh":
                found += [Command(line, None) for line in re.sub(r"\\\n", "", block["text"]).splitlines()]
            case _:
                continue
    return found


def _console(text: str) -> list[Command]:
    """`$ ` stands before what is typed; `^C` below it is a key that is pressed at that point."""
    found = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, *printed = part.splitlines()
        shown = [row for row in printed if row != "^C"]
        found.append(Command(line, shown, interrupted=len(shown) < len(printed)))
    return found
