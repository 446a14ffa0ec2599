"""Which change restarts whom: patterns, ignored files, and who is left alone."""

from __future__ import annotations

import os
import shlex
import sys

import pytest

from procman.companions.registry import SETTINGS, own_settings, wanted
from procman.companions.watcher import WatchSettings
from procman.companions.watcher.rules import Rule, concerned, instances
from procman.core.spec import Plan, ProcessSpec
from procman.core.view import FleetView, InstanceView


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("**", "app.py", True),
        ("**", "a/b/c.txt", True),
        ("**", ".env", False),
        ("**", ".git/index", False),
        ("**", "a/.cache/x", False),
        ("*.py", "app.py", True),
        ("*.py", "src/app.py", False),
        ("src/**/*.py", "src/app.py", True),
        ("src/**/*.py", "src/a/b/app.py", True),
        ("src/**/*.py", "src/app.js", False),
        ("src/**/*.py", "lib/app.py", False),
        ("**/*.html", "a/b.html", True),
        ("src", "src/a/b.py", True),
        ("src/", "src/a.py", True),
        ("./src", "src/a.py", True),
        ("app.py", "app.py", True),
        ("src/*", "src/a/b.py", False),
        ("src/[ab].py", "src/b.py", True),
        (".env", ".env", True),
        (".config/*", ".config/x", True),
        (".*", ".env", True),
        ("../shared/**", "../shared/x.py", True),
    ],
)
def test_a_pattern_is_matched_name_by_name(pattern, path, matches):
    assert Rule.of("web", pattern).concerns(path) is matches


@pytest.mark.parametrize(
    "path",
    [
        "a/__pycache__/x.py",
        "node_modules/x/index.js",
        "venv/lib/x.py",
        "x.pyc",
        "x.py~",
        "db.sqlite3-journal",
        "log/app.txt",
        "tmp/x",
        "deep/down/app.log",
        "Procfile",
        "procman.yml",
    ],
)
def test_what_is_no_source_concerns_nobody(path):
    assert concerned([Rule("web", "**")], [path]) == {}


@pytest.mark.parametrize("path", ["src/logs/views.py", "build", "app/tmp/x.py"])
def test_what_only_looks_like_it_does(path):
    assert concerned([Rule("web", "**")], [path]) == {"web": [path]}


def test_only_the_types_whose_patterns_match_are_concerned():
    rules = [Rule("web", "web/**"), Rule("web", "shared/**"), Rule("job", "job/**"), Rule("job", "shared/**")]
    assert concerned(rules, ["web/a.py", "web/b.py"]) == {"web": ["web/a.py", "web/b.py"]}
    assert concerned(rules, ["shared/x"]) == {"web": ["shared/x"], "job": ["shared/x"]}
    assert concerned(rules, ["README.md"]) == {}


@pytest.mark.parametrize(
    ("pattern", "base"),
    [("**", "."), ("*.py", "."), ("app.py", "."), ("src/**/*.py", "src"), ("a/b/c.py", "a/b"), ("a/*/b/*.py", "a")],
)
def test_only_the_folder_above_a_pattern_need_be_watched(pattern, base):
    assert Rule.of("web", pattern).base() == base


def test_folders_inside_others_and_those_not_there_yet_are_watched_once(tmp_path):
    pytest.importorskip("watchfiles")
    from procman.companions.watcher.tree import folders

    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "lib").mkdir()
    root = str(tmp_path)
    rules = [Rule.of("web", pattern) for pattern in ("src/**", "src/deep/*", "lib/new/**")]
    assert folders(rules, root) == [f"{root}/lib", f"{root}/src"]
    assert folders([*rules, Rule.of("web", "gone/*")], root) == [root]


def row(name: str, phase: str) -> InstanceView:
    empty = dict.fromkeys(("pid", "port", "uptime", "reason", "last_exit"))
    return InstanceView(
        name=name, type=name[:-2], phase=phase, restarts=0, generation=1, age=0.0, crash_loop=False, **empty
    )


def test_who_is_stopped_or_on_the_way_is_left_alone():
    phases = ("ready", "starting", "backoff", "failed", "done", "stopped", "stopping")
    rows = [row(f"web.{n}", phase) for n, phase in enumerate(phases)]
    view = FleetView(formation={}, instances=(*rows, row("job.1", "ready")), stopping=False)
    assert instances(view, "web") == ("web.0", "web.1", "web.2", "web.3", "web.4")


# ---- how it is started


def watcher(watch: dict[str, list[str]], environ: dict[str, str] | None = None) -> ProcessSpec:
    types = {name: ProcessSpec(type=name, command="x", cwd="/app", env={}) for name in ("web", "job")}
    plan = Plan(root="/app", types=types, counts={}, positions={}, sections={"watch": watch} if watch else {})
    return wanted(plan, ("watch",), environ or {})["@watch"]


@pytest.fixture
def settings_of(monkeypatch):
    """What the watcher reads of what it was given."""

    def settings(watch: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
        monkeypatch.setenv(SETTINGS, watcher(watch).environment()[SETTINGS])
        return own_settings(WatchSettings).patterns

    return settings


def test_it_is_run_by_the_same_python_and_not_by_what_lies_in_the_folder():
    words = ["exec", sys.executable, "-P", "-m", "procman.companions.watcher"]
    assert shlex.split(watcher({}).command) == words


def test_without_any_pattern_every_type_watches_everything(settings_of):
    assert settings_of({}) == {"web": ("**",), "job": ("**",)}
    assert settings_of({"job": []}) == {"web": ("**",), "job": ()}


def test_with_patterns_only_those_who_have_some_watch(settings_of):
    assert settings_of({"web": ["src/**", "it's *.html"]}) == {"web": ("src/**", "it's *.html")}


def test_it_has_procmans_own_environment():
    assert watcher({}, dict(os.environ)).base.inherited == dict(os.environ)


def test_without_its_option_there_is_no_watcher():
    plan = Plan(root="/app", types={}, counts={}, positions={}, sections={"watch": {"web": ["src"]}})
    assert wanted(plan, (), {}) == {}
