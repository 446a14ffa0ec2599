"""What `procman check` says of a formation beside its table."""

from __future__ import annotations

import pytest

from procman.cli.show.plan import explanation, stages
from procman.config.load import Options, load


@pytest.fixture
def explained(tmp_path, monkeypatch):
    """The explanation of a Procfile and a procman.yml, as one text with single blanks."""
    monkeypatch.chdir(tmp_path)

    def explain(procfile: str, yml: str, **options: object) -> str:
        (tmp_path / "Procfile").write_text(procfile)
        (tmp_path / "procman.yml").write_text(yml)
        return "\n".join(" ".join(line.split()) for line in explanation(load(Options(**options), {})))

    return explain


SHOP = "web: serve $PORT\nredis: redis-server\nmigrate: m\nworker: w\n"
ORDER = """
processes:
  web: {depends_on: [redis, migrate], ready: {http: /health}}
  redis: {ready: {tcp: 6379}}
  migrate: {oneshot: true, depends_on: [redis]}
"""


def test_a_plain_formation_needs_no_explanation(explained):
    assert explained(SHOP, "processes: {web: {port: 8000}}") == ""


def test_who_waits_for_whom_is_told_in_the_order_of_the_start(explained):
    text = explained(SHOP, ORDER)
    assert "1. redis\nworker\n2. migrate when redis is ready\n3. web when redis is ready and migrate is done" in text


def test_a_type_that_does_not_start_has_no_place_in_the_order(explained):
    text = explained(SHOP, ORDER, leave_out=("redis", "worker"))
    assert "1. migrate not waiting for redis" in text
    assert "worker\n" not in text.partition("Ready:")[0]


def test_a_dependency_that_stands_at_0_is_told(explained):
    assert "not waiting for redis, whose count is 0" in explained(SHOP, ORDER, leave_out=("redis",))


def test_stages_hold_every_type_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Procfile").write_text(SHOP)
    (tmp_path / "procman.yml").write_text(ORDER)
    assert stages(load(Options(), {})) == [["redis", "worker"], ["migrate"], ["web"]]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("ready: tcp", "web tcp 127.0.0.1:5000, within 60 s"),
        ("ready: {http: /health, timeout: 5}", "web http /health, within 5 s"),
        ("ready: notify", "web notify (sd_notify; MAINPID is not followed), within"),
        ("ready: {log: up}", "web a line that matches 'up', within"),
        ("ready: {log: 'ready\\.$'}", "web a line that matches 'ready\\.$', within"),
        ("ready: {exec: check}", "web exec 'check', within"),
        ("ready: {file: up}", "web the file up, within"),
        ("recycle: {age: 1h}", "web a second after its start"),
        ("health: {tcp: 80, failures: 2}", "then tcp 127.0.0.1:80 every 10 s; 2 failures: it is restarted"),
        ("health: {tcp: 80, on_failure: unready}", "3 failures: it is out of rotation"),
    ],
)
def test_who_is_ready_by_what(explained, keys, told):
    assert told in explained(SHOP, f"processes: {{web: {{{keys}}}}}")


@pytest.mark.parametrize(
    ("keys", "count", "told"),
    [
        ("ready: tcp", 1, "requests fail meanwhile, as it is the only instance"),
        ("ready: {tcp: 80}", 1, "because only one may run: a second one finds port 80 taken"),
        ("ready: tcp", 4, "web 1 of 4 at a time"),
        ("ready: tcp, rolling: {unavailable: 50%}", 4, "web 2 of 4 at a time"),
        ("recycle: {age: 1h}", 2, "without `ready:` an instance counts as ready after a second"),
        (
            "ready: tcp, rolling: {surge: 1}",
            1,
            "web an extra instance starts first, then 1 of 1 at a time: none is missing",
        ),
        ("ready: tcp, rolling: {surge: 1}", 4, "web an extra instance starts first, then 1 of 4 at a time"),
        ("ready: tcp, balancer: run/haproxy.sock", 2, "web an extra instance starts first"),
        ("ready: tcp, balancer: run/haproxy.sock, rolling: {surge: 0}", 2, "web 1 of 2 at a time"),
        ("rolling: {surge: 1}", 2, "without `ready:` an instance counts as ready after a second"),
        ("ready: tcp, rolling: {surge: 1}, max: 1", 1, "because only one may run: `max: 1`"),
        (
            "ready: tcp",
            2,
            "the next once the new one has been ready for 3 s; with `stop: {drain: 2.5}` a load balancer learns of each stop 2.5 s before it",
        ),
        ("health: {http: /up}", 2, "without `ready:` an instance counts as ready after a second"),
        ("socket: 'tcp://127.0.0.1:80'", 1, "no connection is refused"),
    ],
)
def test_whom_a_restart_costs_requests(explained, keys, count, told):
    assert told in explained(SHOP, f"processes: {{web: {{{keys}}}}}", formation=(f"web={count}",))


def test_a_known_server_is_one_without_a_probe_and_a_port_too(explained):
    line = "db: postgres -D data\napi: node server.js\napi-worker: node worker.js\nworker: w\n"
    text = explained(line, "processes: {worker: {depends_on: [db]}}", formation=("api=2", "worker=2"))
    restarted = text.partition("Restarted or reloaded:")[2].partition("\n\n")[0]
    assert [row.split()[0] for row in restarted.split("\n") if row] == ["db", "api"]
    assert "db it is away until the new one is ready" in restarted


def test_no_room_for_an_extra_instance_is_told(explained):
    assert "`max` is 1" in explained(SHOP, "processes: {web: {rolling: {surge: 1}, max: 1}}")
    assert "the port step is 2" in explained(
        SHOP, "processes: {web: {rolling: {surge: 1}}}", formation=("web=2",), port_step=2
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("cd x && serve", True),
        ("serve | log", True),
        ("serve", False),
        ("serve $WORKERS", False),
        ("exec serve", False),
        ("A=1 serve", False),
    ],
)
def test_a_shell_before_a_program_with_a_socket_is_told(explained, line, told):
    text = explained(f"web: {line}\n", "processes: {web: {socket: 'tcp://127.0.0.1:80'}}")
    assert ("write `exec` before the program" in text) is told


def test_a_second_redis_is_dangerous_and_no_advice_leads_to_one(explained):
    alone = "it is away until the new one is ready, because only one may run: a second one writes the same files"
    assert f"redis {alone}" in explained(SHOP, "processes: {redis: {ready: {tcp: 6379}}}")
    danger = "redis a second instance is dangerous: a second one writes the same files"
    assert danger not in explained(SHOP, "processes: {redis: {ready: {tcp: 6379}}}")
    assert danger in explained(SHOP, "processes: {redis: {ready: {tcp: 6379}}}", formation=("redis=2",))
    assert danger in explained(SHOP, "processes: {redis: {ready: {tcp: 6379}, rolling: {surge: 1}}}")


@pytest.mark.parametrize(
    ("line", "keys", "told"),
    [
        ("serve", "ready: {file: up}", "its instances share the file up"),
        ("npm start", "socket: 'tcp://127.0.0.1:80'", "npm and similar tools close the socket"),
    ],
)
def test_what_does_not_do_what_it_seems_to_is_told(explained, line, keys, told):
    assert f"web {told}" in explained(f"web: {line}\n", f"processes: {{web: {{{keys}}}}}", formation=("web=2",))


def test_groups_are_told_with_what_a_crash_means(explained):
    text = explained(SHOP, "groups: {jobs: {members: [redis, worker], strategy: rest_for_one}}")
    assert (
        "jobs one is restarted with those after it: redis, worker more than 3 restarts in 60 s: all are failed" in text
    )
    assert "2. worker when redis is ready, before it in its group" in text


DEMAND = """
processes:
  worker: {autoscale: {min: 1, max: 6, metrics: [{queue: {redis: "redis://localhost/0", celery: celery}, target: 10}]}}
  web: {autoscale: 2..8}
"""


def test_the_bounds_of_what_follows_demand_are_told(explained):
    assert explained(SHOP, DEMAND) == (
        "\nFollows demand:\n"
        "worker 1 to 6 instances by queue celery (target 10), every 15 s\n"
        "web 2 to 8 instances by cpu (target 0.7), every 15 s"
    )


def test_a_calendar_that_changes_the_bounds_is_told(explained):
    yml = 'processes: {web: {autoscale: {max: 8, schedule: [{cron: "0 8 * * *", min: 4}]}}}'
    assert "web 1 to 8 instances; other bounds by the calendar by nothing but its bounds" in explained(SHOP, yml)


def test_they_are_told_beside_the_rest(explained):
    text = explained(SHOP, f"{ORDER}  worker: {{autoscale: 1..3}}\n")
    assert "Starts in this order" in text
    assert "worker 1 to 3 instances" in text
