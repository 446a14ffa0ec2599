"""What the pages say of the wheel and the image is what the build makes, as far as that can be said without Docker."""

from __future__ import annotations

import re
import tomllib

import pytest
import written
from written import ROOT

from procman import __version__
from procman.cli.group import VERBS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WHEEL = f"{PROJECT['name'].replace('-', '_')}-{__version__}-py3-none-any.whl"
(IMAGE,) = [block.text for block in written.blocks() if block.language == "dockerfile"]


@pytest.mark.parametrize("path", written.links.pages(ROOT), ids=lambda path: path.stem)
def test_every_wheel_that_a_page_names_is_the_one_that_is_built(path):
    assert set(re.findall(r"procman\w*-[\w.-]+\.whl", path.read_text(encoding="utf-8"))) <= {WHEEL}


def test_the_image_installs_the_wheel_that_it_copies():
    copied = re.findall(r"^COPY dist/(\S+) (\S+)$", IMAGE, re.MULTILINE)
    assert copied == [(WHEEL, "/tmp/")]
    assert f"pip install --no-cache-dir /tmp/{WHEEL}" in IMAGE


def test_the_entry_point_and_the_health_check_are_verbs_without_a_shell_before_them():
    commands = re.findall(r'^(?:ENTRYPOINT|HEALTHCHECK CMD) \["procman", "(\w+)"\]$', IMAGE, re.MULTILINE)
    assert commands == ["ps", "start"]
    assert set(commands) <= set(VERBS)


def test_no_text_tells_anyone_to_install_procman_from_an_index():
    """Another program has that name there."""
    texts = {path: path.read_text(encoding="utf-8") for path in written.links.pages(ROOT)}
    texts |= {path: path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")}
    by_name = re.compile(r"(?:pip|pipx|uv tool|uvx?(?: pip)?) install (?:--?[\w-]+ )*['\"]?procman(?![\w./-])")
    assert [str(path.relative_to(ROOT)) for path, text in texts.items() if by_name.search(text)] == []
