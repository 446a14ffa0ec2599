"""What waits in redis: its own types, and the queues of libraries as these themselves write them, in a real redis."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time

import pytest
from msgspec import UNSET
from waiting import free_port, until

redis = pytest.importorskip("redis")

from procman.companions.autoscaler.fleet import TypeSeen  # noqa: E402
from procman.companions.autoscaler.metrics import ReadingError  # noqa: E402
from procman.companions.autoscaler.metrics.layouts import AGES, LENGTHS  # noqa: E402
from procman.companions.autoscaler.metrics.redis_queues import LatencyGauge, QueueGauge  # noqa: E402
from procman.core.autoscale_settings import LAYOUTS, WITHOUT_AGE, RedisSource  # noqa: E402

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed"),
]

SEEN = TypeSeen(type="worker", count=1)
PASSWORD = "geheim"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The URL of a redis with a password."""
    port = free_port()
    words = ["redis-server", "--port", str(port), "--requirepass", PASSWORD, "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(words, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL)
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"

    def answers():
        try:
            return redis.Redis.from_url(url).ping()
        except redis.exceptions.ConnectionError:
            return False

    until(answers, "redis")
    yield url
    process.kill()
    process.wait()


@pytest.fixture
def client(server):
    """An empty database."""
    connection = redis.Redis.from_url(server)
    connection.flushall()
    yield connection
    connection.close()


def waiting(server, **source):
    return QueueGauge(RedisSource(redis=server, **source), 10).read(SEEN, 0.0)


def age(server, **source):
    return LatencyGauge(RedisSource(redis=server, **source), 10).read(SEEN, 0.0)


def about(seconds):
    """An age that was so many seconds a moment ago."""
    return pytest.approx(seconds + 5, abs=5.1)


# ---- redis's own types


def test_a_list_with_what_is_taken(server, client):
    assert waiting(server, list="jobs", unacked="taken") == 0
    client.rpush("jobs", 1, 2, 3)
    client.hset("taken", mapping={"a": 1, "b": 2})
    assert waiting(server, list="jobs") == 3
    assert waiting(server, list="jobs", unacked="taken") == 5


def test_a_sorted_set_and_its_lowest_score_in_seconds_or_milliseconds(server, client):
    assert age(server, sorted_set="due") == 0
    client.zadd("due", {"a": time.time() - 100, "b": time.time() - 5})
    assert waiting(server, sorted_set="due") == 2
    assert age(server, sorted_set="due") == about(100)
    client.zadd("ms", {"a": (time.time() - 100) * 1000})
    assert age(server, sorted_set="ms") == about(100)


def test_a_stream_with_and_without_a_group(server, client):
    assert waiting(server, stream="log") == 0
    assert waiting(server, stream="log", group="readers") == 0
    began = int((time.time() - 60) * 1000)
    for number in range(4):
        client.xadd("log", {"n": number}, id=f"{began + number * 1000}-0")
    client.xgroup_create("log", "readers", id="0")
    assert waiting(server, stream="log") == 4
    assert waiting(server, stream="log", group="readers") == 4
    assert age(server, stream="log") == about(60)
    client.xreadgroup("readers", "me", {"log": ">"}, count=2)
    assert waiting(server, stream="log", group="readers") == 4  # two are taken and not done
    assert age(server, stream="log", group="readers") == about(58)
    client.xack("log", "readers", f"{began}-0")
    assert waiting(server, stream="log", group="readers") == 3
    client.xreadgroup("readers", "me", {"log": ">"})
    assert age(server, stream="log", group="readers") == 0


def test_a_group_that_is_not_there_is_an_error(server, client):
    client.xadd("log", {"n": 1})
    with pytest.raises(ReadingError, match="no group"):
        waiting(server, stream="log", group="nobody")


def test_another_type_than_said_is_an_error(server, client):
    client.set("jobs", "x")
    with pytest.raises(ReadingError, match="WRONGTYPE"):
        waiting(server, list="jobs")


# ---- libraries


def test_celery_with_priorities_and_what_a_worker_has_taken(server, client):
    celery = pytest.importorskip("celery")
    app = celery.Celery("tests", broker=server)
    app.conf.task_default_queue = "mail"
    for priority in (0, 3, 6, 9, None):
        app.send_task("work", priority=priority)
    assert waiting(server, celery="mail") == 5
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("mail")
        message = queue.get(timeout=10)
        assert waiting(server, celery="mail") == 5
        message.ack()
        assert waiting(server, celery="mail") == 4
        queue.close()


def test_rq_with_what_runs(server, client):
    rq = pytest.importorskip("rq")
    queue = rq.Queue("mail", connection=client)
    assert waiting(server, rq="mail") == 0
    assert age(server, rq="mail") == 0
    for _ in range(3):
        queue.enqueue(len, "abc")
    assert waiting(server, rq="mail") == 3
    assert age(server, rq="mail") == about(0)
    first = queue.job_ids[0]
    client.hset(f"rq:job:{first}", "enqueued_at", "2026-01-01T00:00:00.000000Z")
    assert age(server, rq="mail") > 3600
    client.lpop("rq:queue:mail")
    client.zadd("rq:wip:mail", {first: time.time() + 180, "of a dead worker": time.time() - 1})
    assert waiting(server, rq="mail") == 3


def test_rq_keeps_what_runs_where_it_is_read(server, client):
    rq = pytest.importorskip("rq")
    registry = rq.registry.StartedJobRegistry("mail", connection=client)
    assert registry.key == "rq:wip:mail"


def test_arq_with_what_is_due_and_what_runs(server, client):
    arq = pytest.importorskip("arq", reason="arq pins redis below 6, so its data is tested by hand")

    async def put():
        pool = await arq.create_pool(arq.connections.RedisSettings.from_dsn(server))
        first = await pool.enqueue_job("work")
        await pool.enqueue_job("work")
        await pool.enqueue_job("work", _defer_by=3600)
        await pool.aclose()
        return first.job_id

    first = asyncio.run(put())
    assert waiting(server, arq="arq:queue") == 2
    client.zadd("arq:queue", {first: (time.time() - 50) * 1000})
    assert age(server, arq="arq:queue") == about(50)
    client.set(f"arq:in-progress:{first}", "1")
    assert waiting(server, arq="arq:queue") == 2
    assert age(server, arq="arq:queue") == about(0)


def test_arq_as_its_keys_lie(server, client):
    """As version 0.28 writes them, where it is not installed."""
    client.zadd(
        "arq:queue", {"a": (time.time() - 90) * 1000, "b": (time.time() - 50) * 1000, "c": (time.time() + 9) * 1000}
    )
    client.set("arq:in-progress:a", "1")
    assert waiting(server, arq="arq:queue") == 2
    assert age(server, arq="arq:queue") == about(50)


def test_dramatiq_with_what_is_taken(server, client):
    dramatiq = pytest.importorskip("dramatiq")
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=server)
    broker.declare_queue("mail")
    for _ in range(3):
        message = dramatiq.Message(queue_name="mail", actor_name="work", args=(), kwargs={}, options={})
        broker.enqueue(message)
    broker.enqueue(message.copy(), delay=3_600_000)
    assert waiting(server, dramatiq="mail") == 3
    assert age(server, dramatiq="mail") == about(0)
    taken = next(broker.consume("mail", prefetch=1, timeout=1000))
    assert client.llen("dramatiq:mail") == 2
    assert waiting(server, dramatiq="mail") == 3
    broker.do_qsize("mail")
    assert taken.queue_name == "mail"


@pytest.mark.parametrize("unit", [1, 1000], ids=["seconds", "milliseconds from version 8 on"])
def test_sidekiq_as_it_documents_its_keys(server, client, unit):
    for ago in (5, 70, 30):
        job = {"class": "Work", "args": [], "jid": "a", "enqueued_at": (time.time() - ago) * unit}
        client.rpush("queue:mail", json.dumps(job))
    assert waiting(server, sidekiq="mail") == 3
    assert age(server, sidekiq="mail") == about(30)
    client.sadd("processes", "host:1:a", "host:2:b")
    client.hset("host:1:a", mapping={"busy": 4, "info": "{}"})
    assert waiting(server, sidekiq="mail") == 7


@pytest.mark.parametrize("item", [b"x", b"{}", b"[]", b'{"enqueued_at": "x"}', b'{"enqueued_at": null}', b"[" * 5000])
def test_an_item_without_a_time_is_an_error(server, client, item):
    client.rpush("queue:mail", item)
    with pytest.raises(ReadingError):
        age(server, sidekiq="mail")


# ---- the server


def test_a_redis_that_is_not_there_is_an_error_without_the_password():
    with pytest.raises(ReadingError, match=r"redis://127\.0\.0\.1:1/0") as caught:
        waiting(f"redis://user:{PASSWORD}@127.0.0.1:1/0", list="x")
    assert PASSWORD not in str(caught.value)


def test_a_wrong_password_is_an_error_without_it(server, client):
    with pytest.raises(ReadingError) as caught:
        waiting(server.replace(PASSWORD, "anderes"), list="x")
    assert "anderes" not in str(caught.value)


def test_a_redis_that_hangs_is_an_error_at_the_deadline():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        source = RedisSource(redis=f"redis://127.0.0.1:{listener.getsockname()[1]}/0", list="x")
        with pytest.raises(ReadingError):
            QueueGauge(source, 0.2).read(SEEN, 0.0)


def test_every_layout_has_its_reader():
    assert set(LENGTHS) == set(LAYOUTS)
    assert set(AGES) == set(LAYOUTS) - set(WITHOUT_AGE)
    assert RedisSource(redis="redis://h", list="x").unacked is UNSET


@pytest.mark.parametrize("path", ["/jobs", "/0/1", "/-1", "/0x"])
def test_a_database_that_is_no_number_is_refused_instead_of_another_one_being_read(path):
    """The redis package would take database 0."""
    with pytest.raises(ValueError, match="number of a database") as caught:
        QueueGauge(RedisSource(redis=f"redis://:{PASSWORD}@127.0.0.1:1{path}", list="jobs"), 5.0)
    assert PASSWORD not in str(caught.value)
