"""The balancer's targets and its loop, with a HAProxy in memory and files in a folder."""

from __future__ import annotations

import socket

import pytest
from answered import FakeHaproxy, hung, slot
from msgspec.structs import replace
from waiting import free_port, is_gone, until

from procman.companions.balancer.agent import answer
from procman.companions.balancer.answers import HaproxyError, Refusal
from procman.companions.balancer.building import target_of
from procman.companions.balancer.fleet import BalancedInstance
from procman.companions.balancer.haproxy import HaproxyBackend, StepResult
from procman.companions.balancer.loop import BalancerLoop, StepFaults
from procman.companions.balancer.planning import BackendSpec
from procman.companions.balancer.runtime import former_workers
from procman.companions.balancer.template import FileOutput, JinjaTemplate, TemplateFile, run
from procman.core.balancer_settings import Balancer, HaproxyBalancer
from procman.errors import ConfigError, ProcmanError


def web(number, *, ready=True, draining=False, generation=1):
    return BalancedInstance(
        name=f"web.{number}", type="web", generation=generation, port=20010 + number, ready=ready, draining=draining
    )


def backend_of(haproxy, drain=10.0, **more):
    return HaproxyBackend(BackendSpec(name="web", type="web", prefix="web", **more), haproxy, drain)


# ---- HAProxy


def test_one_step_brings_it_in_step():
    haproxy = FakeHaproxy(slot(1), slot(2), slot(3))
    kept = backend_of(haproxy).step([web(1), web(2), web(3, ready=False)], 0.0)
    assert haproxy.serving() == {20011, 20012}
    assert kept == StepResult()


def test_a_leaving_one_is_released_when_it_has_nothing_in_use():
    haproxy = FakeHaproxy(slot(1, 20011, maintenance=False, used=1), slot(2, 20012, maintenance=False))
    backend = backend_of(haproxy)
    assert backend.step([web(1, draining=True), web(2)], 0.0).released == ()
    assert haproxy.serving() == {20012}
    haproxy.use("web1", 0)
    assert backend.step([web(1, draining=True), web(2)], 1.0).released == (("web.1", 1),)


def test_a_leaving_one_is_released_when_its_time_is_over():
    haproxy = FakeHaproxy(slot(1, 20011, maintenance=False, used=1))
    backend = backend_of(haproxy, drain=5.0)
    assert backend.step([web(1, draining=True)], 0.0).released == ()
    assert backend.step([web(1, draining=True)], 4.9).released == ()
    assert backend.step([web(1, draining=True)], 5.0).released == (("web.1", 1),)


def test_after_a_reload_a_leaving_one_waits_for_the_former_worker():
    haproxy = FakeHaproxy(slot(1, 20011, maintenance=False))
    haproxy.replacing = True
    backend = backend_of(haproxy, drain=5.0)
    assert backend.step([web(1, draining=True)], 0.0).released == ()
    haproxy.replacing = False
    assert backend.step([web(1, draining=True)], 1.0).released == (("web.1", 1),)
    haproxy.replacing = True
    assert backend.step([web(1, draining=True)], 5.0).released == (("web.1", 1),)


PROCESSES = {
    7: ("haproxy", "haproxy\0-sf\x005\x006\x009\x00-x\0sockpair@4\0-W\x008\0-f\0a.cfg\0"),
    5: ("haproxy", "haproxy\0-W\0"),
    6: ("cat", "cat\0"),
    8: ("haproxy", "haproxy\0-W\0"),
    10: ("haproxy", "haproxy\0-st\x005\0"),
    11: ("haproxy", ""),
}


@pytest.mark.parametrize(("pid", "former"), [(7, (5,)), (5, ()), (10, (5,)), (11, ()), (99, ())])
def test_former_workers_are_named_by_the_command_line(tmp_path, pid, former):
    for number, (program, line) in PROCESSES.items():
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_text(line)
        (tmp_path / str(number) / "stat").write_text(f"{number} ({program}) S 1 1 1")
    assert former_workers(pid, str(tmp_path)) == former


def test_a_former_worker_that_is_a_zombie_has_ended(tmp_path):
    for number, state in ((7, "S"), (5, "Z")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_text("haproxy\0-sf\x005\0")
        (tmp_path / str(number) / "stat").write_text(f"{number} (haproxy) {state} 1 1 1")
    assert former_workers(7, str(tmp_path)) == ()


def test_the_next_run_has_a_time_of_its_own():
    haproxy = FakeHaproxy(slot(1, 20011, maintenance=False, used=1))
    backend = backend_of(haproxy, drain=5.0)
    backend.step([web(1, draining=True)], 0.0)
    backend.step([web(1, generation=2)], 6.0)
    haproxy.use("web1", 1)
    assert backend.step([web(1, draining=True, generation=2)], 7.0).released == ()


def test_while_it_hangs_a_stop_waits_no_longer_than_its_time_to_drain():
    haproxy = FakeHaproxy(slot(1, 20011, maintenance=False))
    backend = backend_of(haproxy, drain=5.0)
    haproxy.broken = hung()
    kept = backend.step([web(1, draining=True)], 0.0)
    assert kept.released == ()
    assert "no answer" in kept.fault
    assert backend.step([web(1, draining=True)], 5.0).released == (("web.1", 1),)


def test_once_it_has_gone_no_stop_waits_where_everything_stops():
    haproxy = FakeHaproxy(slot(1, 20011, maintenance=False))
    backend = backend_of(haproxy, drain=5.0)
    haproxy.broken = HaproxyError(Refusal.ABSENT, "cannot reach HAProxy")
    assert backend.step([web(1, draining=True), web(2)], 0.0).released == ()
    assert backend.step([web(1, draining=True), web(2, draining=True)], 1.0).released == (("web.1", 1), ("web.2", 1))


@pytest.mark.parametrize("kind", [Refusal.FORBIDDEN, Refusal.NO_BACKEND, Refusal.TOO_OLD])
def test_for_what_no_waiting_heals_no_stop_waits(kind):
    haproxy = FakeHaproxy()
    haproxy.broken = HaproxyError(kind, "cannot")
    kept = backend_of(haproxy).step([web(1, draining=True)], 0.0)
    assert kept.released == (("web.1", 1),)
    assert kept.fault


def test_a_static_algorithm_without_slots_is_a_fault_with_what_to_do():
    kept = backend_of(FakeHaproxy(dynamic=False)).step([web(1)], 0.0)
    assert "server-template" in kept.fault


def test_its_state_is_written_when_something_was_changed(tmp_path):
    file = tmp_path / "haproxy.state"
    haproxy = FakeHaproxy(slot(1), slot(2))
    backend = backend_of(haproxy, file=str(file))
    backend.step([web(1)], 0.0)
    assert file.read_text() == haproxy.state()
    file.unlink()
    backend.step([web(1)], 1.0)
    assert not file.exists()
    backend.step([web(1), web(2)], 2.0)
    assert file.read_text() == haproxy.state()


def test_dynamic_servers_are_written_as_a_backend(tmp_path):
    file = tmp_path / "web.cfg"
    backend_of(FakeHaproxy(), file=str(file), section=("balance roundrobin",)).step([web(1)], 0.0)
    assert "    server web.1 127.0.0.1:20011 check\n" in file.read_text()


def test_a_file_that_cannot_be_written_is_a_fault_and_no_end(tmp_path):
    (tmp_path / "folder").write_text("")
    haproxy = FakeHaproxy(slot(1))
    backend = backend_of(haproxy, file=str(tmp_path / "folder" / "state"))
    assert "cannot write" in backend.step([web(1)], 0.0).fault
    assert haproxy.serving() == {20011}
    kept = backend.step([web(1, draining=True)], 1.0)
    assert kept.released == (("web.1", 1),)
    (tmp_path / "folder").unlink()
    assert not backend.step([web(1)], 2.0).fault


# ---- a file made of a template

UPSTREAM = "{% for i in instances %}server {{ i.host }}:{{ i.port }};  # {{ type }}.{{ i.index }}\n{% endfor %}"


@pytest.fixture
def filled(tmp_path):
    (tmp_path / "nginx.j2").write_text(UPSTREAM)
    template = JinjaTemplate(str(tmp_path / "nginx.j2"))
    path = str(tmp_path / "run" / "upstreams.conf")
    command = f"test ! -e {tmp_path}/forbidden || {{ echo not yet; exit 3; }}; echo x >> {tmp_path}/reloads"
    return TemplateFile("web", template, FileOutput(path=path, reload=command)), tmp_path


def reloads(folder):
    return (folder / "reloads").read_text().count("x") if (folder / "reloads").exists() else 0


def read(file, instances, now):
    """What the step says once the command has ended."""
    kept = file.step(instances, now)

    def ended():
        nonlocal kept
        kept = file.step(instances, now)
        return file._reload is None

    until(ended, "the end of the command")
    return kept


def test_the_ready_instances_are_written_after_a_moment_and_read_once(filled):
    file, folder = filled
    assert file.step([web(1)], 0.0).again_in == pytest.approx(0.1)
    assert file.step([web(1), web(2)], 0.05).again_in == pytest.approx(0.05)
    read(file, [web(1), web(2), web(3, ready=False)], 0.1)
    text = (folder / "run" / "upstreams.conf").read_text()
    assert text == "server 127.0.0.1:20011;  # web.1\nserver 127.0.0.1:20012;  # web.2\n"
    assert reloads(folder) == 1
    file.step([web(1), web(2)], 5.0)
    assert reloads(folder) == 1


def test_a_leaving_one_is_released_when_the_file_without_it_was_read(filled):
    file, folder = filled
    file.step([web(1), web(2)], 0.0)
    read(file, [web(1), web(2)], 0.1)
    assert file.step([web(1), web(2, draining=True)], 1.0).released == ()
    assert read(file, [web(1), web(2, draining=True)], 1.1).released == (("web.2", 1),)
    assert "20012" not in (folder / "run" / "upstreams.conf").read_text()


def test_a_reload_that_fails_is_tried_again_and_nobody_is_released_before(filled):
    file, folder = filled
    (folder / "forbidden").write_text("")
    file.step([web(1), web(2, draining=True)], 0.0)
    kept = read(file, [web(1), web(2, draining=True)], 0.1)
    assert "not yet" in kept.fault
    assert kept.released == ()
    assert "not yet" in file.step([web(1), web(2, draining=True)], 0.5).fault  # woken before its time
    (folder / "forbidden").unlink()
    assert read(file, [web(1), web(2, draining=True)], 2.0) == StepResult(released=(("web.2", 1),))
    assert reloads(folder) == 1


def test_where_the_reload_fails_and_all_leave_nobody_waits_for_it(filled):
    """The balancer has ended first, or refuses a list without servers."""
    file, folder = filled
    file.step([web(1), web(2)], 0.0)
    read(file, [web(1), web(2)], 0.1)
    (folder / "forbidden").write_text("")
    leaving = [web(1, draining=True), web(2, draining=True)]
    assert file.step(leaving, 1.0).released == ()
    kept = read(file, leaving, 1.1)
    assert "not yet" in kept.fault
    assert kept.released == (("web.1", 1), ("web.2", 1))


def test_what_changes_while_the_command_runs_is_read_once_afterwards(tmp_path):
    (tmp_path / "nginx.j2").write_text("{% for i in instances %}{{ i.name }} {% endfor %}")
    (tmp_path / "busy").write_text("")
    command = f"cat {tmp_path}/out >> {tmp_path}/read; while test -e {tmp_path}/busy; do sleep 0.01; done"
    template = JinjaTemplate(str(tmp_path / "nginx.j2"))
    file = TemplateFile("web", template, FileOutput(path=str(tmp_path / "out"), reload=command, gather=0.0))
    kept = file.step([web(1)], 0.0)
    for instances in ([web(1), web(2)], [web(1), web(3)], [web(1, draining=True), web(2)]):
        assert file.step(instances, 1.0) == kept
    (tmp_path / "busy").unlink()
    assert read(file, [web(1, draining=True), web(2)], 2.0).released == (("web.1", 1),)
    assert (tmp_path / "read").read_text() == "web.1 web.2 "


def test_a_file_whose_reload_failed_is_written_again_where_all_is_as_before(filled):
    file, folder = filled
    file.step([web(1)], 0.0)
    read(file, [web(1)], 0.1)
    (folder / "forbidden").write_text("")
    file.step([web(1), web(2)], 1.0)
    read(file, [web(1), web(2)], 1.1)
    (folder / "forbidden").unlink()
    read(file, [web(1)], 3.0)
    assert "20012" not in (folder / "run" / "upstreams.conf").read_text()
    assert reloads(folder) == 2


def test_a_restart_under_the_same_name_and_port_is_no_change(filled):
    file, folder = filled
    file.step([web(1)], 0.0)
    read(file, [web(1)], 0.1)
    file.step([web(1, generation=2)], 1.0)
    file.step([web(1, generation=2)], 2.0)
    assert reloads(folder) == 1


def test_a_command_that_hangs_is_ended_with_its_group(tmp_path):
    with pytest.raises(ProcmanError, match=r"longer than 0\.2 s"):
        run(f"sleep 1000 & echo $! > {tmp_path}/pid; wait", 0.2)
    pid = int((tmp_path / "pid").read_text())
    until(lambda: is_gone(pid), "its end")


@pytest.mark.parametrize("text", ["{% for %}", "{{ nothing"])
def test_a_template_that_is_none_is_named_with_its_line(tmp_path, text):
    (tmp_path / "bad.j2").write_text(f"\n{text}")
    with pytest.raises(ConfigError, match=r"bad\.j2:2"):
        JinjaTemplate(str(tmp_path / "bad.j2"))


def test_a_name_that_a_template_does_not_know_is_an_error(tmp_path):
    (tmp_path / "bad.j2").write_text("{{ nobody }}")
    with pytest.raises(ProcmanError, match="nobody"):
        JinjaTemplate(str(tmp_path / "bad.j2")).render("web", [])


def test_a_template_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.j2"):
        JinjaTemplate(str(tmp_path / "none.j2"))


# ---- agent checks


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (b"web.1\n", b"ready up\n"),
        (b"20011", b"ready up\n"),
        (b"web.2", b"drain\n"),
        (b"web.3\r\n", b"down\n"),
        (b"web.4", b"down\n"),
        (b"", b"down\n"),
        (b"\xff\xfe", b"down\n"),
    ],
)
def test_a_server_is_told_how_its_instance_is(question, told):
    assert answer(question, [web(1), web(2, draining=True), web(3, ready=False)]) == told


def asked(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"web.1\n")
        return connection.recv(100)


def test_agent_checks_are_answered_on_a_socket_once_it_is_known_who_is_there():
    port = free_port()
    target = target_of("web", Balancer(haproxy=HaproxyBalancer(agent=f"127.0.0.1:{port}")))
    with pytest.raises(ConnectionRefusedError):
        asked(port)
    for instances, told in (((web(1),), b"ready up\n"), ((web(1, draining=True),), b"drain\n"), ((), b"down\n")):
        assert target.step(instances, 0.0) == StepResult()
        assert asked(port) == told


def test_a_port_that_is_taken_is_a_fault():
    with socket.create_server(("127.0.0.1", 0)) as other:
        target = target_of("web", Balancer(haproxy=HaproxyBalancer(agent=f"127.0.0.1:{other.getsockname()[1]}")))
        assert "cannot listen" in target.step((), 0.0).fault


def test_settings_are_built_into_targets(tmp_path):
    (tmp_path / "a.j2").write_text("")
    haproxy = target_of("web", Balancer(haproxy=HaproxyBalancer(socket="run/haproxy.sock"), drain=3.0))
    file = target_of("web", Balancer(file="a", template=str(tmp_path / "a.j2"), drain=4.0))
    assert (haproxy.holds, file.holds) == (3.0, 4.0)


# ---- the loop


class FakeFleet:
    def __init__(self, *instances):
        self.instances = list(instances)
        self.released = []
        self.reported = []
        self.held = {}
        self.broken = None

    def poll(self):
        if self.broken:
            raise self.broken
        return self.instances

    def hold(self, type_name, seconds):
        self.held[type_name] = seconds

    def release(self, name, generation):
        if self.broken:
            raise self.broken
        self.released.append((name, generation))

    def report(self, fault):
        self.reported.append(fault)

    def wait(self, seconds):
        pass


def test_the_loop_brings_all_in_step_and_releases_who_has_left():
    haproxy = FakeHaproxy(slot(1), slot(2))
    other = replace(web(1), name="api.1", type="api", port=9)
    fleet, lines = FakeFleet(web(1), web(2), other), []
    loop = BalancerLoop(fleet, {"web": backend_of(haproxy)}, lambda: 0.0, StepFaults(lines.append, {}))
    loop.step()
    assert haproxy.serving() == {20011, 20012}
    fleet.instances = [web(1), web(2, draining=True)]
    loop.step()
    assert fleet.released == [("web.2", 1)]
    assert fleet.held == {"web": 10.0}
    assert lines == []


def test_a_fault_is_said_once_and_that_it_is_over_once():
    haproxy = FakeHaproxy(slot(1))
    fleet, lines = FakeFleet(web(1)), []
    loop = BalancerLoop(fleet, {"web": backend_of(haproxy)}, lambda: 0.0, StepFaults(lines.append, {}))
    haproxy.broken = hung()
    for _ in range(3):
        loop.step()
    assert len(lines) == 1
    assert "no answer" in fleet.reported[-1]
    haproxy.broken = None
    for _ in range(3):
        loop.step()
    assert len(lines) == 2
    assert fleet.reported[-1] == ""


def test_a_type_whose_settings_cannot_be_used_stays_a_fault():
    fleet = FakeFleet(web(1))
    loop = BalancerLoop(fleet, {}, lambda: 0.0, StepFaults(print, {"api": "api: cannot read the template"}))
    loop.step()
    assert fleet.reported == ["api: cannot read the template"]


def test_while_procman_does_not_answer_nothing_is_taken_out_of_service():
    haproxy = FakeHaproxy(slot(1, 20011, maintenance=False))
    fleet = FakeFleet(web(1))
    fleet.broken = ProcmanError("cannot reach procman")
    loop = BalancerLoop(fleet, {"web": backend_of(haproxy)}, lambda: 0.0, StepFaults(print, {}))
    assert loop.step() > 0
    assert haproxy.serving() == {20011}
