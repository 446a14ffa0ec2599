"""What each foreign file becomes, and what of it is named as left."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import sources

from procman.convert import compose, mprocs, pitchfork, pm2, process_compose, render, supervisord, systemd
from procman.convert.result import Converted
from procman.errors import ConfigError


def commands(converted: Converted) -> dict[str, str]:
    return {made.name: made.command for made in converted.types}


def settings(converted: Converted, name: str) -> dict[str, object]:
    return next(made.settings for made in converted.types if made.name == name)


PROGRAM = "[program:a]\ncommand=a\n"


def left(converted: Converted) -> set[tuple[int, str]]:
    return {(one.line, one.what) for one in converted.left}


def test_compose_runs_the_application_and_leaves_databases_in_their_containers():
    made = compose.convert(sources.COMPOSE, "docker-compose.yml")
    assert commands(made) == {
        "db": "docker compose -f docker-compose.yml up --no-deps db",
        "web": 'DATABASE_URL="postgres://${DB_USER:-me}@localhost/x" bundle exec puma -C config/puma.rb',
        "sidekiq": 'DATABASE_URL="postgres://${DB_USER:-me}@localhost/x" sh -c "exec sidekiq -c \\$THREADS"',
        "migrate": "rails db:migrate",
        "docs": "docker compose -f docker-compose.yml up --no-deps docs",
    }
    assert {one.name: one.count for one in made.types} == {"db": 1, "web": 1, "sidekiq": 2, "migrate": 1, "docs": 0}


def test_compose_settings_become_those_of_procman():
    made = compose.convert(sources.COMPOSE, "docker-compose.yml")
    asked = "docker compose -f docker-compose.yml exec -T db sh -c 'pg_isready -U postgres'"
    assert settings(made, "db") == {
        "stop": {"grace": 20},
        "max": 1,
        "ready": {"exec": asked},
        "restart": {"policy": "always"},
    }
    assert settings(made, "web") == {
        "port": 3000,
        "ready": "tcp",
        "env": {"RAILS_ENV": "production"},
        "restart": {"policy": "always"},
        "depends_on": ["db"],
    }
    assert settings(made, "sidekiq") == {
        "env": {"RAILS_ENV": "production", "QUEUE": "mail"},
        "stop": {"signal": "INT", "grace": 90},
        "depends_on": {"db": "ready", "migrate": "done"},
    }
    assert settings(made, "migrate") == {"oneshot": True}


def test_a_service_runs_in_the_folder_that_it_is_built_from():
    text = "services: {a: {build: ./api, command: npm start}, b: {build: {context: web/}, command: npm start}}"
    made = compose.convert(text, "compose.yml")
    assert [settings(made, name) for name in "ab"] == [{"cwd": "api"}, {"cwd": "web"}]


def test_of_several_mappings_that_are_merged_the_first_wins():
    text = "x-a: &a {A: first, B: b}\nx-b: &b {A: second, C: c}\nservices:\n  web:\n    command: node x\n    build: .\n"
    made = compose.convert(f"{text}    environment:\n      <<: [*a, *b]\n      B: own\n", "docker-compose.yml")
    assert settings(made, "web")["env"] == {"A": "first", "B": "own", "C": "c"}


def test_applications_of_one_name_all_get_names_of_their_own():
    made = pm2.convert(json.dumps([{"name": "web", "script": f"{number}.js"} for number in range(3)]), "process.json")
    assert commands(made) == {"web": "node 0.js", "web-2": "node 1.js", "web-3": "node 2.js"}


def test_compose_names_what_a_process_cannot_have():
    found = left(compose.convert(sources.COMPOSE, "docker-compose.yml"))
    assert (5, "db: shm_size") in found
    assert (20, "web: volumes") in found
    assert (12, "web: build") in found
    assert (40, "docs: profiles") in found
    assert not any("env_file" in what for _, what in found)


def test_supervisord_programs_become_types():
    made = supervisord.convert(sources.SUPERVISORD, "supervisord.conf")
    assert commands(made) == {
        "app": "PLACE=${HOME}/x /usr/bin/gunicorn app:app -b 0.0.0.0:8000 --access-logfile -",
        "worker-one": 'celery -A proj worker -n "w$((PROCMAN_INDEX-1))@%h"',
    }
    assert settings(made, "app") == {
        "cwd": "/srv/app",
        "success_exit_codes": [0, 2],
        "stop": {"signal": "INT", "grace": 30, "mode": "group"},
        "port": 8000,
        "ready": "tcp",
        "env": {"KEY": "va,l%ue"},
    }
    assert made.env == {"A": "1", "B": "two"}
    assert {one.name: one.count for one in made.types} == {"app": 2, "worker-one": 0}


def test_supervisord_names_what_it_leaves():
    assert left(supervisord.convert(sources.SUPERVISORD, "s")) == {
        (4, "[unix_http_server]"),
        (9, "app: user"),
        (17, "app: stderr_logfile"),
        (20, "the name 'worker.one'"),
        (24, "[group:all]"),
    }


def test_a_start_of_supervisord_has_succeeded_after_its_startsecs():
    made = supervisord.convert(f"{PROGRAM}startsecs=5\nstartretries=3\n", "s")
    assert settings(made, "a") == {"restart": {"max_restarts": 3, "reset_after": 5}}
    assert settings(supervisord.convert(f"{PROGRAM}startsecs=0\n", "s"), "a") == {}


def test_limits_of_supervisord_are_named_unless_they_are_its_defaults():
    assert left(supervisord.convert(f"[supervisord]\nminfds=1024\nminprocs=200\n{PROGRAM}", "s")) == set()
    assert left(supervisord.convert(f"[supervisord]\nminfds=65535\nminprocs=4096\n{PROGRAM}", "s")) == {
        (2, "minfds"),
        (3, "minprocs"),
    }


def test_what_is_not_carried_over_from_supervisord_and_pm2_comes_with_what_to_do():
    of_supervisord = supervisord.convert(f"[supervisord]\nminfds=65535\n{PROGRAM}stdout_events_enabled=true\n", "s")
    of_pm2 = pm2.convert(
        '{"apps": [{"name": "a", "script": "a.js", "uid": "node", "post_update": ["npm i"]}]}', "e.json"
    )
    assert [one.hint for one in of_supervisord.left] == [
        "raise it before procman is started: `ulimit -n`, or LimitNOFILE= of the unit",
        "`procman logs -f --json` prints each line as an object",
    ]
    assert [one.hint for one in of_pm2.left] == [
        "processes run as the user that starts procman",
        "run it in the script that deploys",
    ]


@pytest.mark.parametrize(
    ("written", "start", "command"),
    [
        ("w%(process_num)d", "", 'x "w$((PROCMAN_INDEX-1))"'),
        ("w%(process_num)d", "numprocs_start=1", "x w${PROCMAN_INDEX}"),
        ("w%(process_num)s", "numprocs_start=5", 'x "w$((PROCMAN_INDEX+4))"'),
        ("80%(process_num)02d", "", 'x "80$(printf %02d $((PROCMAN_INDEX-1)))"'),
        ("80%(process_num)02d", "numprocs_start=1", 'x "80$(printf %02d $PROCMAN_INDEX)"'),
        ("'$HOME %(process_num)d'", "numprocs_start=1", r'x "\$HOME ${PROCMAN_INDEX}"'),
    ],
)
def test_the_number_of_a_process_is_that_of_supervisord(written, start, command):
    made = supervisord.convert(f"[program:a]\ncommand=x {written}\nnumprocs=2\n{start}\n", "s")
    assert commands(made) == {"a": command}
    assert left(made) == set()
    word = subprocess.run(
        ["sh", "-c", command.replace("x ", "echo ", 1)], env={"PROCMAN_INDEX": "2"}, stdout=subprocess.PIPE, check=True
    )
    first = int(start.partition("=")[2] or 0)
    expected = re.sub(r"%\(process_num\)(02)?.", lambda m: str(first + 1).zfill(int(m[1] or 0)), written.strip("'"))
    assert word.stdout.decode().strip() == expected


def test_variables_of_supervisord_have_the_number_too_and_a_port_that_counts_is_the_port():
    text = (
        '[program:a]\ncommand=x\nnumprocs=3\nenvironment=PORT="80%(process_num)02d",ID="n%(process_num)d",COST="5$"\n'
    )
    made = supervisord.convert(text, "s")
    assert settings(made, "a") == {"port": 8000, "ready": "tcp", "env": {"COST": "5$"}}
    assert commands(made) == {"a": 'ID="n$((PROCMAN_INDEX-1))" x'}
    assert left(made) == set()


def test_a_format_that_procman_does_not_know_is_named():
    made = supervisord.convert("[program:a]\ncommand=x %(host_node_name)s\n", "s")
    assert left(made) == {(2, "a: a %(…)s in its command")}


def test_included_files_of_supervisord_are_converted_with_their_own_lines():
    text = "[supervisord]\n[include]\nfiles = conf.d/*.conf %(here)s/more.ini\n"
    assert supervisord.included(text, "s") == ["conf.d/*.conf", "more.ini"]
    beside = {"conf.d/a.conf": "[program:a]\ncommand=a\nuser=www\n", "more.ini": "[group:g]\nprograms=a\n"}
    made = supervisord.convert(text, "s", beside)
    assert commands(made) == {"a": "a"}
    assert [(one.file, one.line) for one in made.left] == [("conf.d/a.conf", 3), ("more.ini", 1)]


def test_includes_that_cannot_be_read_are_the_reason_where_there_is_no_program():
    with pytest.raises(ConfigError, match="none of the files that it includes can be read here"):
        supervisord.convert("[supervisord]\n[include]\nfiles = /etc/supervisor/conf.d/*.conf\n", "s")


def test_process_compose_keeps_order_probes_and_scripts():
    made = process_compose.convert(sources.PROCESS_COMPOSE, "process-compose.yaml")
    assert commands(made) == {
        "db": "postgres -D data -p 5433",
        "migrate": "exec sh ./procman-migrate.sh",
        "api": "Y=${ABC}/z ./api --port ${PORT}",
        "shell": "bash",
    }
    assert made.scripts == {"procman-migrate.sh": "set -e\nfor i in 1 2; do\n  echo $i\ndone\n"}
    assert made.env == {"ABC": "222"}
    assert settings(made, "db") == {"ready": {"exec": "pg_isready -p 5433"}, "stop": {"signal": "INT", "grace": 15}}
    assert settings(made, "migrate") == {"oneshot": True, "depends_on": ["db"]}
    assert settings(made, "api") == {
        "cwd": "services/api",
        "env": {"X": "1"},
        "restart": {"policy": "always", "delay": 2, "max_restarts": 5},
        "health": {"http": "http://127.0.0.1:8080/health", "failures": 3},
        "depends_on": {"migrate": "done"},
    }
    assert settings(made, "shell") == {"tty": True}
    assert left(made) == {(27, "api: is_daemon")}


def test_process_compose_names_each_value_that_only_a_running_program_has():
    """A variable in a folder or a probe, and a template: procman.yml has neither, and would take them for names."""
    text = """
processes:
  core:
    command: ./core
    working_dir: "${CODE}/core"
    environment: ["SHARD={{.PC_REPLICA_NUM}}"]
    readiness_probe:
      http_get: {host: localhost, port: $API_PORT, path: /health}
  web:
    command: ./web
    working_dir: "{{ .PWD }}"
"""
    made = process_compose.convert(text, "p")
    assert settings(made, "core") == {"env": {"SHARD": "{{.PC_REPLICA_NUM}}"}}
    assert settings(made, "web") == {}
    assert left(made) == {
        (5, "core: its folder ${CODE}/core, which names a variable"),
        (6, "core: the template in SHARD"),
        (8, "core: its probe of http://localhost:$API_PORT/health, which names a variable"),
        (11, "web: its folder {{ .PWD }}, which names a variable"),
    }


def test_supervisord_names_values_of_the_environment_where_procman_takes_none():
    text = "[program:web]\ncommand=./web\nautostart=%(ENV_WEB)s\ndirectory=%(ENV_HOME)s/app\n"
    made = supervisord.convert(text, "s")
    assert settings(made, "web") == {}
    assert left(made) == {(3, "web: autostart"), (4, "web: its folder ${HOME}/app, which names a variable")}


def test_mprocs_shells_and_commands_become_types():
    made = mprocs.convert(sources.MPROCS, "mprocs.yaml")
    assert commands(made) == {
        "server": "GIT_SHA=main cargo watch -x run",
        "css": "env -u GONE npx tailwindcss --watch 'a b'",
        "docs": "cargo doc",
        "vim": "vim 'a file'",
        "all-1": "ls",
    }
    assert settings(made, "css") == {"env": {"A": "b"}, "stop": {"signal": "INT"}}
    assert left(made) == {(11, "the name 'all'"), (14, "all: stop: keys that are typed")}


def test_pitchfork_daemons_become_types():
    made = pitchfork.convert(sources.PITCHFORK, "pitchfork.toml")
    assert settings(made, "redis") == {"ready": {"tcp": 7777}}
    assert settings(made, "api") == {
        "cwd": "api",
        "env": {"NODE_ENV": "development"},
        "port": 3000,
        "ready": {"http": "http://localhost:3000/health"},
        "restart": {"max_restarts": 5},
        "watch": ["src/**/*.ts"],
        "depends_on": ["redis"],
    }
    assert settings(made, "once") == {"restart": {"policy": "never"}, "ready": {"log": "ready"}}
    assert left(made) == {(11, "api: auto"), (14, "api: memory_limit"), (16, "api: hooks")}


def test_pm2_applications_become_types_with_the_lines_of_the_source():
    made = pm2.convert_printed(sources.PM2_PRINTED, sources.PM2, "ecosystem.config.js")
    assert commands(made) == {
        "prod": "node dist/server.js",
        "dev": "npm start -- --x 'a b'",
        "tick-py": "python3 ./tick.py",
    }
    assert settings(made, "prod") == {
        "port": 4000,
        "ready": "tcp",
        "env": {"NODE_ENV": "production"},
        "recycle": {"memory": "1G"},
        "restart": {"policy": "always", "delay": 3},
        "stop": {"grace": 5, "signal": "INT"},
    }
    assert settings(made, "tick-py") == {"restart": {"policy": "never"}, "stop": {"signal": "INT"}}
    found = left(made)
    assert {(6, "prod: exec_mode: cluster"), (10, "prod: env_staging")} <= found
    assert {(14, "dev: watch"), (17, "deploy")} <= found


def test_a_systemd_unit_becomes_one_type():
    made = systemd.convert(sources.SYSTEMD, "/etc/systemd/system/shop-jobs.service")
    assert commands(made) == {
        "shop-jobs": "{ /bin/mkdir -p /run/x || true; } && exec /usr/bin/bundle exec sidekiq -c ${DB_POOL} -e 'a b'"
    }
    assert settings(made, "shop-jobs") == {
        "ready": "notify",
        "env": {"RAILS_ENV": "production", "DB_POOL": "25", "ARENA": "2"},
        "cwd": "/srv/shop",
        "restart": {"policy": "always", "delay": 0.5},
        "success_exit_codes": [0, 143],
        "stop": {"signal": "QUIT", "grace": 90},
    }
    assert made.types[0].notes == ("The jobs of the shop",)
    assert left(made) == {
        (3, "shop-jobs: After=network.target"),
        (7, "shop-jobs: User=shop"),
        (14, "shop-jobs: ExecReload=/bin/kill -TSTP $MAINPID"),
        (20, "shop-jobs: ProtectSystem=strict"),
    }


def test_pm2_takes_json_as_people_write_it():
    text = """\
    {
      /* all
         of them */
    \t"apps": [{ // the first
        name: "web", "script": "a.js", 'args': "-x",
        env: {"URL": "http://x//y", "LIST": ["a"]},
        "watch_delay": 3,
      }],
    }
    """
    made = pm2.convert(text, "ecosystem.json")
    assert commands(made) == {"web": "node a.js -x"}
    assert settings(made, "web")["env"] == {"URL": "http://x//y", "LIST": '["a"]'}
    assert left(made) == {(7, "web: watch_delay")}


def test_one_application_needs_no_list():
    assert commands(pm2.convert('{"script": "a.js"}', "pm2.json")) == {"a-js": "node a.js"}


def test_a_default_that_the_file_gives_is_used_where_a_value_is_needed():
    text = """\
processes:
  web:
    command: ./web
    replicas: ${N:-2}
    availability: {restart: "${POLICY:-always}", exit_on_end: "${END}"}
"""
    made = process_compose.convert(text, "process-compose.yaml")
    assert made.types[0].count == 2
    assert settings(made, "web") == {"restart": {"policy": "always"}}
    assert left(made) == {(5, "web: availability.exit_on_end")}


def test_what_an_image_runs_by_its_own_entry_point_stays_in_its_container():
    text = "services: {a: {image: x/y, command: run -c z}, b: {image: x/y, command: node z.js}}"
    assert commands(compose.convert(text, "compose.yml")) == {
        "a": "docker compose -f compose.yml up --no-deps a",
        "b": "node z.js",
    }


@pytest.mark.parametrize(("instances", "count"), [("max", "cpus"), (0, "cpus"), (-1, "cpus-1"), (3, 3)])
def test_pm2_counts_by_processors_are_those_of_the_formation(instances, count):
    app = {"name": "a", "script": "a.js", "instances": instances, "max_memory_restart": "500M"}
    made = pm2.convert(json.dumps({"apps": [app]}), "ecosystem.json")
    assert made.types[0].count == count
    assert made.types[0].settings["recycle"] == {"memory": "500M"}
    assert f"formation: {{a: {count}}}" in render.procman_yml(made, "made")


def test_mprocs_chooses_by_the_system():
    text = "procs:\n  a: {shell: {$select: os, windows: dir, $else: ls}}\n  b: {$select: os, windows: dir, linux: {cmd: [x, y]}}\n"
    made = mprocs.convert(text, "mprocs.yaml")
    assert [(one.name, one.command) for one in made.types] == [("a", "ls"), ("b", "x y")]
