"""`procman check` on known programs, and `--fix`."""

from __future__ import annotations

import os

import pytest

PROCFILE = "web: nginx -c n.conf\n\nbeat: celery -A a beat\nworker: celery -A a worker --detach\n"
MINE = "# mine\nprocesses:\n  beat:\n    restart: {policy: always}   # always\n\n  worker: {stop: {grace: 5}}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Procfile").write_text(PROCFILE)
    return tmp_path


def advice(done) -> list[str]:
    return [line.strip() for line in done.out.partition("advice")[2].splitlines()[1:]]


def test_known_programs_are_advised_line_by_line(procman, folder):
    done = procman("check")
    assert done.code == 0
    starts = [": ".join(line.split(": ")[:4]) for line in advice(done)]
    assert starts == [
        "Procfile:1: web (nginx): stop.signal: QUIT",
        "Procfile:3: beat (Celery beat): max: 1",
        "Procfile:4: worker (Celery worker): stop.grace: 60",
        "Procfile:4: worker (Celery worker): leave out --detach: the worker goes to the background with --detach, and counts as ended",
    ]
    assert not (folder / "procman.yml").exists()


def test_what_stands_in_procman_yml_is_not_advised(procman, folder):
    (folder / "procman.yml").write_text("defaults: {stop: {signal: INT, grace: 3}}\nprocesses: {beat: {max: 4}}\n")
    assert [line.split(":")[1] for line in advice(procman("check"))] == ["4"]


def test_a_procfile_of_unknown_programs_is_shown_as_ever(procman, folder):
    (folder / "Procfile").write_text("web: ./web\n")
    assert procman("check").out.splitlines()[1:] == ["web       1  5000   ./web"]


def test_fix_writes_the_advice_and_keeps_what_stands_there(procman, folder):
    (folder / "procman.yml").write_text(MINE)
    os.chmod(folder / "procman.yml", 0o640)
    done = procman("check", "--fix")
    assert done.code == 0
    assert (folder / "procman.yml").read_text() == MINE.replace(
        "# always\n", "# always\n    max: 1  # a second beat sends every task twice\n"
    ) + "  web:\n    stop: {signal: QUIT}  # QUIT lets nginx answer the requests in flight, TERM drops them\n"
    assert (folder / "procman.yml").stat().st_mode & 0o777 == 0o640
    assert "set processes.beat.max: 1" in done.out


def test_after_fix_only_the_command_is_left_to_be_changed(procman, folder):
    assert procman("check", "--fix").code == 0
    assert [line.split(":")[1] for line in advice(procman("check"))] == ["4"]
    before = (folder / "procman.yml").read_text()
    assert "nothing to write" in procman("check", "--fix").out
    assert (folder / "procman.yml").read_text() == before


def test_fix_makes_the_file_where_there_is_none(procman, folder):
    assert procman("check", "--fix").code == 0
    assert (
        (folder / "procman.yml")
        .read_text()
        .startswith("# How to run the process types of the Procfile.\n\nprocesses:\n  web:\n")
    )


def test_fix_writes_into_the_file_that_is_named(procman, folder):
    (folder / "other.yml").write_text("formation: {web: 2}\n")
    assert procman("check", "--config", "other.yml", "--fix").code == 0
    assert "signal: QUIT" in (folder / "other.yml").read_text()
    assert not (folder / "procman.yml").exists()


def test_fix_goes_through_a_link(procman, folder):
    (folder / "real.yml").write_text("formation: {web: 2}\n")
    os.symlink("real.yml", folder / "procman.yml")
    assert procman("check", "--fix").code == 0
    assert (folder / "procman.yml").is_symlink()
    assert "signal: QUIT" in (folder / "real.yml").read_text()


def test_what_cannot_be_put_in_is_told_with_its_line(procman, folder):
    (folder / "procman.yml").write_text("processes:\n  web: &web\n    cwd: .\n  beat: *web\n")
    done = procman("check", "--fix")
    assert "procman.yml:2: cannot set processes.web.stop.signal" in done.out
    assert "procman.yml:4: cannot set processes.beat.max" in done.out


def test_a_faulty_input_is_told_before_any_advice_and_nothing_is_written(procman, folder):
    (folder / "procman.yml").write_text("processes: {web: {nonsense: 1}}\n")
    done = procman("check", "--fix")
    assert done.code == 2
    assert (folder / "procman.yml").read_text() == "processes: {web: {nonsense: 1}}\n"


def test_advice_names_the_procfile_that_was_given(procman, folder):
    (folder / "Procfile.dev").write_text("\nweb: nginx -c x\n")
    assert advice(procman("check", "-f", "Procfile.dev"))[0].startswith("Procfile.dev:2: web (nginx)")


def test_the_script_of_a_package_is_advised_as_the_program_that_it_runs(procman, folder):
    site = folder / "apps" / "site"
    site.mkdir(parents=True)
    (folder / "package.json").write_text('{"scripts": {"css": "tailwindcss -i a -o b --watch"}}')
    (site / "package.json").write_text('{"name": "@shop/site", "scripts": {"dev": "vite"}}')
    (folder / "Procfile").write_text("css: npm run css\nsite: npm run dev -w @shop/site\nbad: npm run dev -w none\n")
    starts = [": ".join(line.split(": ")[:5]).partition(": a ")[0] for line in advice(procman("check"))]
    assert [start.partition(": it is ready")[0].partition(": Tailwind's")[0] for start in starts] == [
        "Procfile:1: css (Tailwind CSS): stdin: open",
        "Procfile:2: site (Vite): ready: {tcp: 5173}",
        "Procfile:2: site (Vite): max: 1",
    ]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"scripts": []}', '{"scripts": {"css": 1}}'])
def test_a_package_that_tells_nothing_is_no_error(procman, folder, text):
    (folder / "package.json").write_text(text)
    (folder / "Procfile").write_text("css: npm run css\n")
    assert procman("check").code == 0
