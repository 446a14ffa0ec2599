"""The file of `keep_counts`: what is written is read, and nothing in it keeps procman from starting."""

from __future__ import annotations

import json
import os

import pytest
from msgspec.structs import replace

from procman.app.kept_counts import CountsFile, with_kept
from procman.config.options import Options
from procman.control.places import state_files
from procman.core.spec import Plan, ProcessSpec


@pytest.fixture
def lines():
    return []


@pytest.fixture
def file(tmp_path, lines):
    return CountsFile([str(tmp_path / "state" / "x.json")], "/srv/app", lines.append)


def plan_of(**counts):
    types = {name: ProcessSpec(type=name, command="true", cwd="/", port=5000) for name in counts}
    return Plan(root="/", types=types, counts=counts, positions=dict.fromkeys(counts, 0), keep_counts=True)


def counts_of(plan, kept, lines, **options):
    after = with_kept(plan, kept, Options(**options), lines.append)
    return after.counts, after.kept


# ---- the file


def test_what_is_written_is_read_again(file, tmp_path):
    assert file.read() == {}
    file.write({"web": 3})
    file.write({"web": 2, "worker": 0})
    assert file.read() == {"web": 2, "worker": 0}
    assert os.listdir(tmp_path / "state") == ["x.json"]
    assert (tmp_path / "state" / "x.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"counts": {"web": "3"}}', "\udcff", "[" * 10_000, '{"root": 1}'])
def test_a_file_that_cannot_be_read_is_one_line_with_what_to_do(file, tmp_path, lines, text):
    file.write({})
    (tmp_path / "state" / "x.json").write_bytes(text.encode(errors="surrogateescape"))
    assert file.read() == {}
    assert len(lines) == 1
    assert "--forget" in lines[0]
    file.write({"web": 2})
    assert file.read() == {"web": 2}


def test_a_folder_in_its_place_is_said_and_no_end(file, tmp_path, lines):
    (tmp_path / "state" / "x.json").mkdir(parents=True)
    assert file.read() == {}
    file.write({"web": 2})
    file.write({"web": 3})
    file.forget()
    assert len(lines) == 3  # read, the first write, and forget


def test_the_second_place_is_taken_where_the_first_is_none(tmp_path, lines):
    (tmp_path / "file").write_text("")
    file = CountsFile([str(tmp_path / "file" / "x"), str(tmp_path / "x")], "/srv/app", lines.append)
    file.write({"web": 2})
    assert file.read() == {"web": 2}
    assert lines == []


def test_a_place_that_can_be_written_again_is_said(tmp_path, lines):
    (tmp_path / "state").write_text("")
    file = CountsFile([str(tmp_path / "state" / "x")], "/srv/app", lines.append)
    file.write({"web": 2})
    file.write({"web": 3})
    (tmp_path / "state").unlink()
    file.write({"web": 4})
    assert len(lines) == 2
    assert file.read() == {"web": 4}


def test_forgotten_is_forgotten(file):
    file.write({"web": 2})
    file.forget()
    file.forget()
    assert file.read() == {}


def test_each_formation_of_a_folder_has_its_own_place():
    places = [
        state_files({"HOME": "/home/a"}, root, name, "/run/x.sock") for root in ("/a", "/b") for name in ("", "t")
    ]
    assert len({path for found in places for path in found}) == 8


def test_what_systemd_gives_comes_first_and_relative_places_are_none():
    environ = {"STATE_DIRECTORY": "/var/lib/app:/var/lib/b", "XDG_STATE_HOME": "/state", "HOME": "/home/a"}
    folders = [os.path.dirname(path) for path in state_files(environ, "/a", "", "/run/p/x.sock")]
    assert folders == ["/var/lib/app", "/state/procman", "/home/a/.local/state/procman", "/run/p"]
    assert state_files({"STATE_DIRECTORY": "a", "XDG_STATE_HOME": "b", "HOME": "c"}, "/a", "", "@procman") == []


# ---- what it means


def test_a_kept_count_takes_the_place_of_the_configured_one(lines):
    assert counts_of(plan_of(web=1, worker=1), {"web": 3}, lines) == ({"web": 3, "worker": 1}, ("web",))
    assert lines == []


def test_types_that_are_gone_are_ignored(lines):
    assert counts_of(plan_of(web=1), {"old": 3}, lines) == ({"web": 1}, ())
    assert lines == []


@pytest.mark.parametrize(
    "options",
    [
        {"formation": ("web=1",)},
        {"formation": ("all=1",)},
        {"types": ("worker",)},
        {"leave_out": ("web",)},
        {"formation": ("worker=2, web=1",), "types": ("web",)},
    ],
)
def test_the_command_line_wins(lines, options):
    counts, kept = counts_of(plan_of(web=1, worker=1), {"web": 3}, lines, **options)
    assert counts["web"] == 1
    assert kept == ()


def test_a_type_that_is_named_has_its_kept_count(lines):
    assert counts_of(plan_of(web=1), {"web": 3}, lines, types=("web",)) == ({"web": 3}, ("web",))


def test_bounds_and_max_hold(lines):
    plan = plan_of(web=1, beat=1)
    types = plan.types | {"beat": replace(plan.types["beat"], max=1)}
    plan = replace(plan, types=types, sections={"autoscale": {"web": "2..6"}})
    assert counts_of(plan, {"web": 9, "beat": 5}, lines)[0] == {"web": 6, "beat": 1}
    assert counts_of(plan, {"web": 0}, lines)[0] == {"web": 2, "beat": 1}


@pytest.mark.parametrize("count", [-1, 101, 5000])
def test_a_count_that_cannot_be_is_said_and_the_configured_one_holds(lines, count):
    assert counts_of(plan_of(web=1), {"web": count}, lines) == ({"web": 1}, ())
    assert len(lines) == 1


def test_the_file_says_whose_it_is(file, tmp_path):
    file.write({"web": 2})
    assert json.loads((tmp_path / "state" / "x.json").read_text()) == {"root": "/srv/app", "counts": {"web": 2}}
