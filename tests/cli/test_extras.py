"""What a person reads who lacks a package, or asks for an upgrade to the version that runs already."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from procman import extras
from procman.companions.balancer.template import JinjaTemplate
from procman.errors import ConfigError


@pytest.mark.parametrize(("package", "requirement"), extras.WANTED.items())
def test_a_missing_package_is_installed_by_this_interpreter(package, requirement):
    assert extras.how_to_install(package) == f"{sys.executable} -m pip install '{requirement}'"


def test_the_packages_are_those_of_the_extras():
    optional = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert sorted(extras.WANTED.values()) == sorted(
        package for extra in ("tui", "watch", "autoscale", "balancer") for package in optional[extra]
    )


def test_a_balancer_without_its_package_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)  # as the import system marks a module that is not to be found
    with pytest.raises(ConfigError) as refused:
        JinjaTemplate(str(tmp_path / "upstreams.j2"))
    assert f"`{sys.executable} -m pip install 'jinja2>=3.1'` installs it" in str(refused.value)


def test_where_there_is_no_pip_uv_installs_into_this_environment(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert extras.how_to_install("textual") == f"uv pip install --python {sys.executable} 'textual>=8'"


def test_in_an_environment_of_pipx_it_is_pipx_that_installs(monkeypatch, tmp_path):
    (tmp_path / "procman-supervisor").mkdir()
    (tmp_path / "procman-supervisor/pipx_metadata.json").write_text("{}")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "procman-supervisor"))
    recorded = '{"url": "file:///src/procman", "dir_info": {}}'
    monkeypatch.setattr("importlib.metadata.PathDistribution.read_text", lambda self, name: recorded)
    assert extras.how_to_install("watchfiles") == "pipx inject procman-supervisor 'watchfiles>=1'"
    assert extras.how_to_upgrade() == "it was installed from /src/procman: `pipx install --force /src/procman`"


@pytest.mark.parametrize(
    ("recorded", "source"),
    [
        ('{"url": "file:///src/procman", "dir_info": {}}', "/src/procman"),
        ('{"url": "file:///a%20b/procman.whl", "archive_info": {}}', "'/a b/procman.whl'"),
        ('{"url": "https://example.org/procman.git", "vcs_info": {}}', "https://example.org/procman.git"),
    ],
)
def test_an_upgrade_names_where_procman_was_installed_from(monkeypatch, recorded, source):
    monkeypatch.setattr("importlib.metadata.PathDistribution.read_text", lambda self, name: recorded)
    told = extras.how_to_upgrade()
    assert told.startswith(f"it was installed from {source.strip(chr(39))}: ")
    assert told.endswith(f" -m pip install --upgrade {source}`")


@pytest.mark.parametrize("recorded", [None, "{}"])
def test_an_installation_that_is_not_recorded_is_not_guessed(monkeypatch, recorded):
    monkeypatch.setattr("importlib.metadata.PathDistribution.read_text", lambda self, name: recorded)
    assert extras.how_to_upgrade() == ""
