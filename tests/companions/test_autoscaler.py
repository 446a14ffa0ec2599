"""The autoscaler's loop: look, read, decide, scale, remember."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from importlib import import_module

import msgspec
import pytest
from msgspec.structs import replace

from procman.companions.autoscaler.building import scaled
from procman.companions.autoscaler.fleet import InstanceSeen, TypeSeen
from procman.companions.autoscaler.loop import Autoscaler, ScaledType, Surroundings
from procman.companions.autoscaler.metrics import ReadingError
from procman.companions.autoscaler.metrics.cpu import CpuGauge
from procman.companions.autoscaler.readings import MetricReader, finish_all, start_all
from procman.companions.autoscaler.store import (
    CONTROLS,
    AutoscaleStatus,
    AutoscaleStore,
    Control,
    Controls,
    Point,
    remembered,
)
from procman.companions.program import CompanionFaults, needing
from procman.core.autoscale import replay
from procman.core.autoscale_settings import Autoscale
from procman.core.demand import Because, Bounds, Decided, Measure, MetricRule, Pace, ReplicaState, ScalingRule
from procman.errors import ConfigError, ProcmanError, RefusedError

QUEUE = MetricRule(name="queue", measure=Measure.TOTAL, target=10, wakes=True)
RULE = ScalingRule(max=8, metrics=(QUEUE,), down=Pace(window=60))


def seen_of(count, **more):
    instances = tuple(
        InstanceSeen(name=f"web.{n}", generation=1, state=ReplicaState.READY, ready_for=99) for n in range(1, count + 1)
    )
    return TypeSeen(type="web", count=count, instances=instances, **more)


class Fleet:
    """A procman that does what it is told."""

    def __init__(self, count=1):
        self.count = count
        self.broken = None
        self.reported = None
        self.polls = 0
        self.refuses = None
        self.published = []

    def poll(self):
        if self.broken:
            raise self.broken
        self.polls += 1
        return {"web": seen_of(self.count)}

    def count_of(self, type_name):
        return {"web": self.count}.get(type_name)

    def scale(self, type_name, count, why):
        if self.refuses:
            raise self.refuses
        assert type_name == "web"
        assert why
        self.count = count

    def report(self, fault):
        self.reported = fault

    def publish(self, decided):
        self.published.append(decided)


class Gauge:
    """Reads what it is set to; an exception is raised."""

    def __init__(self, value=0.0):
        self.value = value

    def read(self, seen, now):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class World:
    """An autoscaler with a clock that jumps."""

    def __init__(self, folder, rule=RULE, count=1, **more):
        self.fleet, self.gauge, self.store = Fleet(count), Gauge(), AutoscaleStore(str(folder))
        self.now, self.lines, self.window = 1000.0, [], None
        self.rule, self.more = rule, more
        self.start()

    def start(self, samplers=()):
        """As after a kill."""
        scaled = ScaledType(self.rule, (MetricReader("queue", self.gauge, 5.0),), lambda now: self.window, samplers)
        around = Surroundings(
            lambda: self.now, self.wall, lambda: None, CompanionFaults(self.lines.append, {}), patience=60.0
        )
        self.scaler = Autoscaler(self.fleet, {"web": scaled}, self.store, around, **self.more)
        self.scaler.restore()

    def wall(self):
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now)

    def run(self, seconds):
        end = self.now + seconds
        while self.now < end:
            self.now += max(0.1, self.scaler.step())


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_the_count_follows_what_waits(world):
    world.gauge.value = 60
    world.scaler.step()
    assert world.fleet.count == 5
    world.run(31)
    assert world.fleet.count == 6
    world.gauge.value = 5
    world.run(120)
    assert world.fleet.count == 1


def test_every_change_is_told_with_its_inputs_so_that_it_can_be_replayed(world):
    world.gauge.value = 60
    world.run(60)
    changes = [decided for decided in world.fleet.published if decided.decision.changes]
    assert [(d.decision.before, d.decision.count) for d in changes] == [(1, 5), (5, 6)]
    for decided in world.fleet.published:
        again = msgspec.json.decode(msgspec.json.encode(decided), type=Decided)
        assert replay(again) == decided.decision


def test_decisions_that_change_nothing_are_told_once_for_each_reason(world):
    world.gauge.value = 10
    world.run(300)
    assert [d.decision.because for d in world.fleet.published] == [Because.STEADY]


def test_killed_and_started_again_it_takes_nothing_away_for_a_whole_window(world):
    world.gauge.value = 60
    world.run(60)
    world.gauge.value = 0
    for _ in range(4):
        world.start()
        world.run(45)
        assert world.fleet.count == 6
    world.run(75)
    assert world.fleet.count == 1


def test_killed_at_any_poll_it_comes_to_the_same_count(tmp_path):
    for looks in range(5):
        world = World(tmp_path)
        world.gauge.value = 60
        for _ in range(looks):
            world.now += world.scaler.step()
        world.start()
        world.run(60)
        assert world.fleet.count == 6


def test_what_fails_takes_nothing_away_and_is_said_once(world):
    world.gauge.value = 60
    world.run(60)
    said = len(world.lines)
    world.gauge.value = ReadingError("connection refused")
    world.run(600)
    assert world.fleet.count == 6
    assert world.lines[said:] == ["cannot read web: queue: connection refused"]
    assert world.fleet.reported == "cannot read web: queue: connection refused"
    world.gauge.value = 60
    world.run(60)
    assert world.lines[said + 1 :] == ["web: queue can be read again"]
    assert world.fleet.reported == ""


def test_faults_are_shown_in_the_order_in_which_they_began():
    faults = CompanionFaults([].append, {"job": "job: cannot be scaled"})
    faults.set("web", "web fails")
    faults.set("api", "api fails")
    faults.set("web", "web fails still")
    assert faults.text == "job: cannot be scaled; web fails still; api fails"
    faults.set("web", "")
    assert faults.text == "job: cannot be scaled; api fails"


def test_a_fault_of_a_gauge_is_a_failed_reading_that_shows_no_secret(world):
    world.gauge.value = RuntimeError("redis://:geheim@host")
    world.run(20)
    assert world.fleet.count == 1
    assert "geheim" not in "".join(world.lines)
    assert "RuntimeError" in "".join(world.lines)


def test_while_procman_does_not_answer_it_does_nothing(world):
    world.fleet.broken = ProcmanError("cannot reach procman")
    world.gauge.value = 60
    world.run(60)
    assert world.lines == ["cannot reach procman"]
    world.fleet.broken = None
    world.run(20)
    assert world.fleet.count in {5, 6}


def test_a_refusal_is_said_once_and_tried_again(world):
    world.fleet.refuses = RefusedError("cannot scale web: procman is stopping")
    world.gauge.value = 60
    world.run(60)
    assert len(world.lines) == 1
    world.fleet.refuses = None
    world.run(14)
    assert world.fleet.count == 5


def test_a_dry_run_changes_nothing_and_shows_what_it_would_do(tmp_path):
    world = World(tmp_path, dry=True)
    world.gauge.value = 60
    world.run(60)
    assert world.fleet.count == 1
    assert world.scaler.status.types["web"].decided.decision.count == 5


def test_a_pause_holds_until_it_is_taken_back_also_over_a_kill(world):
    world.store.save_controls(Controls(types={"web": Control(paused=True)}))
    world.gauge.value = 60
    world.run(60)
    world.start()
    world.run(60)
    assert world.fleet.count == 1
    world.store.save_controls(Controls())
    world.run(14)
    assert world.fleet.count == 5


def test_bounds_that_a_person_set_go_before_those_of_the_schedule(world):
    world.gauge.value = 60
    world.window = Bounds(max=3)
    world.run(16)
    assert world.fleet.count == 3
    world.store.save_controls(Controls(types={"web": Control(bounds=Bounds(min=2, max=2))}))
    world.run(16)
    assert world.fleet.count == 2


def test_controls_that_cannot_be_read_stop_everything(world, tmp_path):
    (tmp_path / CONTROLS).write_text("{")
    world.gauge.value = 60
    world.run(60)
    assert world.fleet.count == 1
    assert len(world.lines) == 1


def test_a_type_that_a_reload_has_removed_is_left_alone(world):
    world.fleet.poll = dict
    world.run(60)
    assert world.lines == []


def test_at_zero_the_metric_alone_is_read_between_two_polls(tmp_path):
    rule = ScalingRule(min=0, max=8, metrics=(msgspec.structs.replace(QUEUE, cheap=True),))
    world = World(tmp_path, rule=rule, count=0)
    world.scaler.step()
    polls, world.fleet.broken = world.fleet.polls, ProcmanError("cannot reach procman")
    world.run(14)
    assert world.lines == []
    world.fleet.broken = None
    world.run(1.5)
    assert world.fleet.polls == polls + 1
    world.gauge.value = 1
    world.run(0.5)
    assert world.fleet.count == 1


def test_at_zero_a_request_of_a_person_counts_at_once(tmp_path):
    world = World(tmp_path, rule=ScalingRule(min=0, max=8, metrics=(QUEUE,)), count=0)
    world.scaler.step()
    world.store.control("web", bounds=Bounds(min=2, max=None))
    world.scaler.hurry()
    world.scaler.step()
    assert world.fleet.count == 2


def test_at_zero_the_first_item_is_seen_within_two_seconds(tmp_path):
    world = World(tmp_path, rule=ScalingRule(min=0, max=8, metrics=(QUEUE,)), count=0)
    world.run(100)
    world.gauge.value = 1
    world.run(2)
    assert world.fleet.count == 1


def test_the_last_hour_is_remembered_over_a_kill(world):
    world.run(600)
    world.start()
    world.run(600)
    history = world.store.status().types["web"].history
    assert history[-1].at - history[0].at > 1100
    old = remembered((Point(0.0, 1, 1), Point(5000.0, 1, 1)), Point(5001.0, 2, None))
    assert [point.at for point in old] == [5000.0, 5001.0]


def test_a_clock_that_is_set_back_leaves_no_history_of_the_future():
    assert remembered((Point(5000.0, 1, 1), Point(9000.0, 1, 1)), Point(5001.0, 2, None)) == (
        Point(5000.0, 1, 1),
        Point(5001.0, 2, None),
    )


def test_a_folder_that_cannot_be_written_is_said_and_scaling_goes_on(tmp_path):
    world = World(tmp_path / "none")
    world.gauge.value = 60
    world.run(60)
    assert world.fleet.count == 6
    assert sum("cannot write" in line for line in world.lines) == 1


def test_a_status_of_another_version_is_an_error_that_says_what_to_do(tmp_path):
    store = AutoscaleStore(str(tmp_path))
    assert store.status() == AutoscaleStatus()
    (tmp_path / "autoscale-status.json").write_text('{"types": {"web": 5}}')
    with pytest.raises(ProcmanError) as caught:
        store.status()
    assert caught.value.hint


def test_who_removes_the_file_of_what_people_asked_is_told_to_ask_it_again(tmp_path):
    store = AutoscaleStore(str(tmp_path))
    (tmp_path / CONTROLS).write_text("[]")
    with pytest.raises(ProcmanError) as caught:
        store.controls()
    assert "set a pause or bounds again" in caught.value.hint


# ---- reading


def test_a_metric_that_hangs_fails_at_its_deadline_and_is_not_asked_again_meanwhile():
    release, asked = threading.Event(), []

    class Hanging:
        def read(self, seen, now):
            asked.append(now)
            release.wait()
            return 5.0

    readers = (MetricReader("slow", Hanging(), -0.4), MetricReader("fast", Gauge(7.0), 30.0))
    for at in range(3):
        start_all(readers, seen_of(1), float(at))
        slow, fast = finish_all(readers)
        assert slow.error
        assert fast.value == 7.0
    assert asked == [0.0]
    release.set()
    readers[0]._thread.join()
    late = MetricReader("slow", Hanging(), 30.0)
    start_all((late,), seen_of(1), 4.0)
    assert late.finish().value == 5.0


class TwoTypes(Fleet):
    """`web`, and `worker` with a count of its own."""

    def __init__(self):
        super().__init__()
        self.counts = {"web": 1, "worker": 1}

    def poll(self):
        return {name: replace(seen_of(count), type=name) for name, count in self.counts.items()}

    def count_of(self, type_name):
        return self.counts.get(type_name)

    def scale(self, type_name, count, why):
        self.counts[type_name] = count


def test_a_count_that_a_person_sets_during_a_reading_is_what_the_decision_starts_from(world):
    class Slow:
        def read(self, seen, now):
            if seen.count == 1:
                world.fleet.count = 4  # a person, by force
            return 60.0

    world.gauge.read = Slow().read
    assert world.scaler.step() == 0.0
    assert world.fleet.count == 4
    assert world.fleet.published == []
    world.scaler.step()
    assert world.fleet.count == 6
    assert [one.decision.before for one in world.fleet.published] == [4]


def test_clients_that_keep_changing_a_count_cause_one_more_reading_and_no_more(world):
    class Slow:
        def read(self, seen, now):
            world.fleet.count = 5 - seen.count  # 1, 4, 1, …
            return 60.0

    world.gauge.read = Slow().read
    assert world.scaler.step() == 0.0
    assert world.scaler.step() > 1.0
    assert world.fleet.count == 6
    assert world.scaler.step() > 1.0


@pytest.mark.parametrize(("starting", "free", "counts"), [(0, 450, [5, 1]), (1, 450, [3, 1]), (0, 2000, [6, 6])])
def test_types_share_the_memory_that_is_free(tmp_path, starting, free, counts):
    class Sized(TwoTypes):
        def poll(self):
            return {name: sized(one) for name, one in super().poll().items()}

    def sized(seen):
        on_the_way = [InstanceSeen(name="x", generation=1, state=ReplicaState.STARTING, memory=0)] * starting
        return replace(seen, instances=(*(replace(i, memory=100) for i in seen.instances), *on_the_way))

    world = World(tmp_path)
    fleet = Sized()
    world.gauge.value = 60
    rule = replace(RULE, up=Pace())
    types = {
        name: ScaledType(rule, (MetricReader("queue", world.gauge, 5.0),), lambda now: None) for name in fleet.counts
    }
    around = Surroundings(
        lambda: world.now, world.wall, lambda: free, CompanionFaults(world.lines.append, {}), patience=60.0
    )
    Autoscaler(fleet, types, world.store, around).step()
    assert list(fleet.counts.values()) == counts


@pytest.mark.parametrize("count", [0, 1])
def test_a_metric_that_hangs_holds_up_its_own_type_only(tmp_path, count):
    release, asked = threading.Event(), []

    class Hanging:
        def read(self, seen, now):
            asked.append(now)
            release.wait()
            return 60.0

    world = World(tmp_path)
    fleet = world.fleet = TwoTypes()
    fleet.counts["worker"] = count
    rule = replace(RULE, min=0, every=1.0)
    types = {
        "worker": ScaledType(rule, (MetricReader("queue", Hanging(), 600.0),), lambda now: None),
        "web": ScaledType(rule, (MetricReader("queue", world.gauge, 600.0),), lambda now: None),
    }
    around = Surroundings(
        lambda: world.now, world.wall, lambda: None, CompanionFaults(world.lines.append, {}), patience=0.01
    )
    world.scaler = Autoscaler(fleet, types, world.store, around)

    def stepped_until(reached):
        end = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < end
            world.run(0.5)

    for value in (20, 40, 60):
        world.gauge.value = value
        stepped_until(lambda value=value: fleet.counts["web"] >= value // 10)
    assert fleet.counts["worker"] == count
    assert len(asked) == 1
    release.set()
    stepped_until(lambda: fleet.counts["worker"] >= 5)


def cpu_seen(*used, generation=1):
    instances = tuple(
        InstanceSeen(name=f"web.{n}", generation=generation, state=ReplicaState.READY, cpu=seconds)
        for n, seconds in enumerate(used, 1)
    )
    return TypeSeen(type="web", count=len(used), instances=instances)


def test_cpu_is_what_was_used_since_the_poll_before():
    gauge = CpuGauge()
    assert gauge.read(cpu_seen(100.0, 5.0), 0.0) == {}
    assert gauge.read(cpu_seen(107.5, 5.0), 10.0) == {"web.1": 0.75, "web.2": 0.0}
    assert gauge.read(cpu_seen(117.5, 4.0), 20.0) == {"web.1": 1.0, "web.2": 0.0}


def test_a_new_run_and_one_that_cannot_be_read_are_missing():
    gauge = CpuGauge()
    gauge.read(cpu_seen(100.0), 0.0)
    assert gauge.read(cpu_seen(1.0, generation=2), 10.0) == {}
    assert gauge.read(cpu_seen(None), 20.0) == {}


def test_two_polls_within_a_moment_are_compared_with_the_one_before():
    gauge = CpuGauge()
    gauge.read(cpu_seen(100.0), 0.0)
    assert gauge.read(cpu_seen(100.1), 0.1) == {}
    assert gauge.read(cpu_seen(105.0), 10.0) == {"web.1": 0.5}


def test_a_new_instance_is_measured_from_its_first_sample_when_it_is_ready():
    gauge = CpuGauge()
    starting = msgspec.structs.replace(cpu_seen(50.0).instances[0], state=ReplicaState.STARTING)
    gauge.sample(TypeSeen(type="web", count=1, instances=(starting,)), 0.0)
    gauge.sample(cpu_seen(60.0), 2.0)  # what its start has cost is no load
    gauge.sample(cpu_seen(61.0), 4.0)
    assert gauge.read(cpu_seen(65.0), 12.0) == {"web.1": 0.5}


def test_while_there_are_new_instances_samples_are_taken_between_two_polls(tmp_path):
    world, sampled = World(tmp_path), []
    world.start(samplers=(lambda seen, now: sampled.append(now),))
    world.gauge.value = 60
    poll = world.fleet.poll
    world.fleet.poll = lambda: {"web": young(poll()["web"], 1.0 if world.now < 1008 else 99.0)}
    world.run(15)
    assert len(sampled) >= 4
    count = len(sampled)
    world.gauge.value = 60
    world.run(60)
    assert len(sampled) <= count + 10


def young(seen, ready_for):
    instances = tuple(msgspec.structs.replace(i, ready_for=ready_for) for i in seen.instances)
    return msgspec.structs.replace(seen, instances=instances)


def test_settings_are_built_into_what_the_loop_needs():
    settings = msgspec.convert(
        {
            "max": 8,
            "metrics": [{"cpu": 0.7}, {"command": "echo 5", "target": 2}],
            "schedule": [{"cron": "0 0 1 1 *", "min": 3}],
        },
        Autoscale,
    )
    built = scaled(settings, {})
    assert [reader.name for reader in built.readers] == ["cpu", "command"]
    assert len(built.samplers) == 1
    assert built.window_at(datetime(2026, 5, 5, tzinfo=UTC)).min == 3


def test_what_a_missing_package_is_needed_for_is_said_also_of_one_that_another_needs():
    message = "cannot read it: the Python package nobody_has_this is not installed"
    with pytest.raises(ConfigError, match=message), needing("read it"):
        import_module("nobody_has_this.inside")


def test_a_missing_module_of_procman_is_a_fault_of_procman():
    with pytest.raises(ModuleNotFoundError), needing("read it"):
        import_module("procman.nobody_has_this")


def test_a_schedule_that_names_no_time_is_refused():
    settings = msgspec.convert({"max": 8, "schedule": [{"cron": "x", "min": 3}]}, Autoscale)
    with pytest.raises(ConfigError, match=r"schedule\[0\]"):
        scaled(settings, {})


def test_a_variable_in_an_address_is_put_in_and_one_that_is_not_set_is_named():
    metric = {"http": {"url": "$WHERE/metrics", "json": "a"}, "target": 1}
    settings = msgspec.convert({"max": 8, "metrics": [metric]}, Autoscale)
    assert len(scaled(settings, {"WHERE": "http://host"}).readers) == 1
    with pytest.raises(ConfigError, match="WHERE is not set"):
        scaled(settings, {})
