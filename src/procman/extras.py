"""Packages that procman can do without: how to install a missing one, and where procman itself was installed from.

Everything that procman says about installation is here. It asks no index and names none.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "procman-supervisor"
"""The name of the installed distribution (`pip show`); the command and the package are called `procman`."""

WANTED = {
    "textual": "textual>=8",
    "watchfiles": "watchfiles>=1",
    "redis": "redis>=5",
    "cronsim": "cronsim>=2.6",
    "jinja2": "jinja2>=3.1",
}
"""The extras `tui`, `watch`, `autoscale` and `balancer` of pyproject.toml."""


def how_to_install(package: str) -> str:
    """The command that installs this package for the running procman."""
    name = _pipx_name()
    installer = f"pipx inject {name}" if name else _installer()
    return f"{installer} {shlex.quote(WANTED.get(package, package))}"


def how_to_upgrade() -> str:
    """Where procman was installed from, and the command that installs it from there again; "" if unknown."""
    source = _source()
    if source is None:
        return ""
    installer = "pipx install --force" if _pipx_name() else f"{_installer()} --upgrade"
    return f"it was installed from {source}: `{installer} {shlex.quote(source)}`"


def _pipx_name() -> str:
    """What pipx calls the environment of this procman, as a word of a shell; "" if it was not made by pipx."""
    made = os.path.exists(os.path.join(sys.prefix, "pipx_metadata.json"))
    return shlex.quote(os.path.basename(sys.prefix)) if made else ""


def _installer() -> str:
    """The pip of procman's own interpreter, else uv, whose environments have no pip."""
    python = shlex.quote(sys.executable)
    return f"{python} -m pip install" if find_spec("pip") is not None else f"uv pip install --python {python}"


def _source() -> str | None:
    """A folder, a wheel or an address, as the installer has recorded it (packaging.python.org, "Direct URL")."""
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415  30 ms, to explain an upgrade

    try:
        recorded = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    url = json.loads(recorded).get("url") if recorded else None
    if not isinstance(url, str):
        return None
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else url
