"""`start`, `check` and `run` take the nearest folder with a Procfile, as the verbs that talk to a procman do."""

from __future__ import annotations

import os

import pytest
from folders import write

from procman.config.load import Options, load
from procman.config.location import current_folder, search_upwards


def test_the_nearest_folder_above_with_a_procfile_is_the_root(folder, monkeypatch):
    write(folder, env="A=1")
    (folder / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(folder / "a" / "b")
    options, taken = search_upwards(Options(), {})
    assert taken == str(folder)
    plan = load(options, {})
    assert (plan.root, plan.types["web"].environment()) == (str(folder), {"A": "1"})


def test_through_a_link_the_folders_that_the_user_sees_come_before_those_of_the_system(tmp_path, monkeypatch):
    for name in ("app/sub", "home"):
        (tmp_path / name).mkdir(parents=True)
    link = tmp_path / "home" / "jump"
    link.symlink_to(tmp_path / "app" / "sub")
    monkeypatch.chdir(link)
    for name in ("app", "home"):
        (tmp_path / name / "Procfile").write_text("web: true\n")
        assert search_upwards(Options(), {"PWD": str(link)})[1] == str(tmp_path / name)


def test_the_current_folder_comes_first(folder):
    assert search_upwards(Options(), {}) == (Options(), None)


@pytest.mark.parametrize("options", [Options(root="."), Options(procfile="Procfile.dev"), Options(procfile="-")])
def test_what_was_named_is_taken_as_it_is(folder, monkeypatch, options):
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")
    assert search_upwards(options, {}) == (options, None)


def test_where_there_is_none_the_current_folder_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert search_upwards(Options(), {}) == (Options(), None)


def test_other_files_are_still_seen_from_the_current_folder(folder, monkeypatch):
    sub = folder / "sub"
    sub.mkdir()
    write(sub, **{"my.env": "B=1"})
    monkeypatch.chdir(sub)
    options, _ = search_upwards(Options(env_files=("my.env",)), {})
    assert load(options, {}).types["web"].environment() == {"B": "1"}


def test_a_folder_keeps_the_name_by_which_the_shell_entered_it(folder, monkeypatch):
    (folder / "releases" / "1").mkdir(parents=True)
    link = folder / "current"
    link.symlink_to("releases/1")
    monkeypatch.chdir(link)
    assert current_folder({"PWD": str(link)}) == str(link)
    assert current_folder({"PWD": str(folder)}) == os.getcwd()
    assert current_folder({"PWD": "current"}) == os.getcwd()
    assert current_folder({}) == os.getcwd()
