"""`procman init`: what it writes, what it leaves alone, and what it says."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import yaml
from applications import APPLICATIONS

from procman.config.load import Options, load


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_gets_a_procfile_and_a_procman_yml(procman, folder):
    (folder / "package.json").write_text(
        json.dumps({"scripts": {"start": "node server.js"}, "dependencies": {"express": "4"}})
    )
    done = procman("init")
    assert done.code == 0
    assert (folder / "Procfile").read_text().splitlines()[1:] == ["web: node server.js"]
    assert "  web:\n    ready: tcp\n" in (folder / "procman.yml").read_text()
    assert "found Node.js (package.json: start)" in done.out
    assert "wrote Procfile" in done.out
    assert done.out.splitlines()[-1].startswith("next: `procman check`")


@pytest.mark.parametrize("application", APPLICATIONS.values(), ids=APPLICATIONS)
def test_what_is_written_for_an_application_is_taken_by_check(procman, folder, application):
    for path, text in application.texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    assert procman("init").code == 0
    assert list(load(Options(), {}).types) == list(application.commands)
    assert procman("check").code == 0


def test_files_below_are_read_and_installed_packages_are_not(procman, folder):
    for place in ("apps/api", "node_modules/x", ".git/y"):
        (folder / place).mkdir(parents=True)
        (folder / place / "package.json").write_text('{"scripts": {"start": "node a.js"}}')
    (folder / "package.json").write_text('{"workspaces": ["apps/*", "node_modules/*"]}')
    assert procman("init").code == 0
    assert (folder / "Procfile").read_text().splitlines()[1:] == ["api: node a.js"]


def test_nothing_to_run_is_said_with_what_to_do(procman, folder):
    done = procman("init")
    assert done.code == 1
    assert "cannot find anything to run" in done.err
    assert list(folder.iterdir()) == []


def test_a_procfile_that_is_there_stays_and_gets_a_procman_yml(procman, folder):
    (folder / "Procfile").write_text("web: nginx -c n.conf\nworker: celery -A a worker --detach\n")
    done = procman("init")
    assert done.code == 0
    assert (folder / "Procfile").read_text() == "web: nginx -c n.conf\nworker: celery -A a worker --detach\n"
    assert "stop: {signal: QUIT}" in (folder / "procman.yml").read_text()
    assert "Procfile:2: worker (Celery worker): leave out --detach" in done.out


def test_what_rails_calls_procfile_dev_is_as_good(procman, folder):
    (folder / "Procfile.dev").write_text("web: env RUBY_DEBUG_OPEN=true bin/rails server\njs: yarn build --watch\n")
    done = procman("init")
    assert done.code == 0
    assert not (folder / "Procfile").exists()
    assert "js:\n    stdin: open" in (folder / "procman.yml").read_text()
    assert "`procman start -f Procfile.dev`" in done.out


MASTODON = {
    "Procfile": "web: bin/heroku-web\nworker: bundle exec sidekiq\n",
    "Procfile.dev": (
        "web: env PORT=3000 bundle exec puma -C config/puma.rb\nsidekiq: env PORT=3000 bundle exec sidekiq\n"
        "stream: env PORT=4000 yarn workspace @mastodon/streaming start\nwebpack: bin/webpack-dev-server\n"
    ),
    "bin/dev": "exec foreman start -f Procfile.dev\n",
}


@pytest.mark.parametrize("name", ["made", "with a blank"])
def test_what_to_do_next_names_the_other_folder(procman, folder, name):
    (folder / name).mkdir()
    (folder / "app.service").write_text("[Service]\nExecStart=/bin/sleep 1000\n")
    said = procman("init", "--from", "app.service", "-d", name).out
    option = f"-d '{name}'" if " " in name else f"-d {name}"
    assert f"next: `procman check {option}`, then `procman start {option}`" in said
    assert procman("check", "-d", name).code == 0
    (folder / name / "Procfile").rename(folder / name / "Procfile.dev")
    (folder / name / "procman.yml").unlink(missing_ok=True)
    said = procman("init", "-d", str(folder / name)).out
    assert f"`procman check {option} -f " in said
    assert procman("check", "-d", name, "-f", f"{name}/Procfile.dev").code == 0


def test_a_procfile_and_a_procfile_dev_get_one_procman_yml(procman, folder):
    """What each type wants stands in it, but for a name under which the two run something else."""
    (folder / "bin").mkdir()
    for name, text in MASTODON.items():
        (folder / name).write_text(text)
    done = procman("init")
    assert done.code == 0
    assert yaml.safe_load((folder / "procman.yml").read_text()) == {
        "processes": {"worker": {"stop": {"grace": 30}}, "sidekiq": {"stop": {"grace": 30}}}
    }
    assert "next: `procman check -f Procfile.dev`" in done.out
    assert 'exec procman start -f Procfile.dev "$@"' in done.out
    for procfile in ("Procfile", "Procfile.dev"):
        assert procman("check", "-f", procfile).code == 0
    assert "web (Puma): ready: {tcp: 3000}" in procman("check", "-f", "Procfile.dev").out


def test_nothing_is_written_over_a_file_that_is_there(procman, folder):
    (folder / "package.json").write_text('{"scripts": {"start": "node server.js"}, "dependencies": {"express": "4"}}')
    (folder / "procman.yml").write_text("# mine\n")
    done = procman("init")
    assert done.code == 1
    assert "cannot write procman.yml: it already exists" in done.err
    assert sorted(path.name for path in folder.iterdir()) == ["package.json", "procman.yml"]
    assert (folder / "procman.yml").read_text() == "# mine\n"


def test_a_link_to_nowhere_is_not_followed(procman, folder):
    (folder / "package.json").write_text('{"scripts": {"start": "node server.js"}}')
    os.symlink("elsewhere", folder / "Procfile")
    assert procman("init").code == 2
    assert not (folder / "elsewhere").exists()


def test_a_file_of_another_supervisor_is_converted_and_what_is_left_is_named(procman, folder):
    (folder / "supervisord.conf").write_text(
        "[program:web]\ncommand=./web\nuser=www\nnumprocs=2\n[supervisord]\nenvironment=A=1\n"
    )
    done = procman("init", "--from", "supervisord.conf")
    assert done.code == 0
    assert (folder / "Procfile").read_text().endswith("web: ./web\n")
    assert "formation: {web: 2}" in (folder / "procman.yml").read_text()
    assert (folder / ".env").read_text().endswith("A=1\n")
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    assert "supervisord.conf:3: web: user (processes run as the user that starts procman)" in done.out


def test_a_supervisord_conf_that_only_includes_others_is_converted_with_them(folder, procman):
    (folder / "etc/conf.d").mkdir(parents=True)
    (folder / "etc/supervisord.conf").write_text("[supervisord]\n[include]\nfiles = conf.d/*.conf\n")
    (folder / "etc/conf.d/web.conf").write_text("[program:web]\ncommand=./web\nuser=www\n")
    (folder / "etc/conf.d/worker.conf").write_text("[program:worker]\ncommand=./worker\n")
    done = procman("init", "--from", "etc/supervisord.conf")
    assert done.code == 0
    assert (folder / "Procfile").read_text().endswith("web: ./web\nworker: ./worker\n")
    assert "etc/conf.d/web.conf:3: web: user (processes run as the user that starts procman)" in done.out


def test_the_converted_files_can_go_into_another_folder(procman, folder):
    (folder / "mprocs.yaml").write_text("procs: {web: ./web}\n")
    (folder / "new").mkdir()
    assert procman("init", "--from", "mprocs.yaml", "-d", "new").code == 0
    assert (folder / "new/Procfile").read_text().endswith("web: ./web\n")


@pytest.mark.parametrize(
    ("name", "content", "end"),
    [
        ("absent.yml", None, (2, "cannot read absent.yml")),
        ("x.txt", b"hello\n", (2, "cannot tell what x.txt is")),
        ("mprocs.yaml", b"procs: [\n", (2, "mprocs.yaml:2: cannot read the YAML")),
        ("mprocs.yaml", b"procs: {}\n", (1, "cannot find a process type in mprocs.yaml")),
        ("mprocs.yaml", b"\xff", (2, "not UTF-8")),
    ],
)
def test_a_file_that_cannot_be_converted_is_refused_and_nothing_is_written(procman, folder, name, content, end):
    if content is not None:
        (folder / name).write_bytes(content)
    done = procman("init", "--from", name)
    assert done.code == end[0]
    assert end[1] in done.err
    assert not (folder / "Procfile").exists()


ECOSYSTEM = """\
const port = 4000;
module.exports = {
  apps: [
    { name: 'web', script: 'server.js', instances: -1,
      env: { PORT: port },
      cron_restart: '0 0 * * *' },
  ],
};
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node: apt-get install nodejs")
def test_a_javascript_file_is_run_by_node(procman, folder):
    (folder / "ecosystem.config.js").write_text(ECOSYSTEM)
    done = procman("init", "--from", "ecosystem.config.js")
    assert done.code == 0
    assert (folder / "Procfile").read_text().endswith("web: node server.js\n")
    assert "port: 4000" in (folder / "procman.yml").read_text()
    assert "ecosystem.config.js:6: web: cron_restart" in done.out
    assert "web: node server.js  (cpus-1 instances; cpus is the number of processors)" in done.out


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node: apt-get install nodejs")
def test_a_javascript_file_that_fails_is_told_with_the_reason(procman, folder):
    (folder / "ecosystem.config.js").write_text("require('nothing-of-that-name')\n")
    done = procman("init", "--from", "ecosystem.config.js")
    assert done.code == 2
    assert "cannot run it: Error: Cannot find module" in done.err


def test_without_node_a_javascript_file_says_what_is_missing(procman, folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    (folder / "ecosystem.config.js").write_text(ECOSYSTEM)
    done = procman("init", "--from", "ecosystem.config.js")
    assert done.code == 1
    assert "Node.js is not installed" in done.err
