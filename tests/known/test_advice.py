"""What is advised, and when nothing is."""

from __future__ import annotations

import pytest

from procman.config.keys import ProcessSection
from procman.known.advice import TypeInput, advise
from procman.known.programs import programs

KEYS = ("restart", "stop", "stdin", "tty", "max", "ready", "depends_on")


def test_every_advised_key_is_one_of_a_process_type() -> None:
    advised = {rule.key.partition(".")[0] for program in programs() for rule in program.rules}
    assert advised <= {"", *ProcessSection.__struct_fields__}


def keyed(command: str, *written: str, count: int = 1) -> dict[str, object]:
    found = advise([TypeInput(name="x", command=command, count=count, written=frozenset(written))], KEYS)
    return {one.key: one.value for one in found if one.key}


def said(command: str, count: int = 1) -> list[str]:
    return [one.say for one in advise([TypeInput(name="x", command=command, count=count)], KEYS) if one.say]


@pytest.mark.parametrize(
    ("command", "key", "value"),
    [
        ("nginx -c n.conf", "stop.signal", "QUIT"),
        ("apache2 -D FOREGROUND", "stop.signal", "WINCH"),
        ("haproxy -W -db -f x", "stop.signal", "USR1"),
        ("postgres -D data", "stop.signal", "INT"),
        ("uwsgi --http :8000", "stop.signal", "INT"),
        ("celery -A a beat", "max", 1),
        ("redis-server", "max", 1),
        ("bundle exec sidekiq", "stop.grace", 30),
        ("npx tailwindcss -i a -o b --watch", "stdin", "open"),
        ("esbuild a.js --watch", "stdin", "open"),
        ("irb", "tty", True),
        ("python -i", "tty", True),
        ("docker compose up", "stop.grace", 20),
        ("waitress-serve app:app", "stop.signal", "INT"),
        ("npx @tailwindcss/cli -i a -o b --watch", "stdin", "open"),
    ],
)
def test_what_a_program_needs_is_advised(command, key, value):
    assert keyed(command)[key] == value


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("uwsgi --die-on-term", "stop.signal"),
        ("esbuild a.js --watch=forever", "stdin"),
        ("esbuild a.js", "stdin"),
        ("tailwindcss --watch=always", "stdin"),
        ("sidekiq -t 8", "stop.grace"),
        ("gunicorn a:b --graceful-timeout 5", "stop.grace"),
        ("vite", "stdin"),
    ],
)
def test_what_the_command_settles_is_not_advised(command, key):
    assert key not in keyed(command)


@pytest.mark.parametrize("written", ["stop.signal", "stop.signal.x"])
def test_a_key_that_stands_there_is_left_alone(written):
    assert "stop.signal" not in keyed("nginx -c x", written)


@pytest.mark.parametrize(
    ("command", "limit"),
    [
        ("bin/rails server -p 3000", 1),  # a second one would count as ready at once: the first one answers there
        ("uvicorn a:b", 1),
        ("bin/rails server -p $PORT", None),
        ("bin/rails server", None),
        ("granian --reuse-port --port 8000 a:b", None),
        ("postgres -D data -p $PORT", 1),
    ],
)
def test_a_program_whose_port_is_not_port_is_advised_to_stay_alone(command, limit):
    assert keyed(command).get("max") == limit


def test_a_program_that_gets_its_socket_may_have_siblings():
    assert "max" not in keyed("uvicorn a:b", "socket")


def test_several_at_one_port_are_advised_to_be_one():
    assert said("bin/rails server -p 3000", count=2)[-1] == "set its count to 1: it is 2"


def test_any_form_of_a_readiness_check_is_one():
    assert keyed("redis-server")["ready"] == {"tcp": 6379}
    assert "ready" not in keyed("redis-server", "ready.exec")
    assert "ready" not in keyed("redis-server", "ready")


def test_a_key_that_this_procman_does_not_have_is_not_advised():
    assert advise([TypeInput(name="x", command="uvicorn a:b")], ("stop", "tty")) == []


@pytest.mark.parametrize(
    ("command", "ready"),
    [
        ("gunicorn a:b", "tcp"),
        ("gunicorn a:b --bind 0.0.0.0:$PORT", "tcp"),
        ('gunicorn a:b --bind=":${PORT}"', "tcp"),
        ("gunicorn a:b -b 127.0.0.1:9000", {"tcp": 9000}),
        ("gunicorn a:b -b unix:/run/x", None),
        ("gunicorn -c conf.py a:b", None),
        ("PORT=3000 puma -C config/puma.rb", {"tcp": 3000}),
        ("postgres -p5433", {"tcp": 5433}),
        ("redis-server redis.conf", None),
        ("redis-server --port 99999", None),
        ("uvicorn a:b", {"tcp": 8000}),
        ("uvicorn a:b --uds x", None),
        ("next dev", "tcp"),
        ("streamlit run app.py --server.port $PORT", "tcp"),
        ("rackup -p 9000", {"tcp": 9000}),
        ("gunicorn -c conf.py -b 0.0.0.0:9000 a:b", {"tcp": 9000}),
        ("unicorn -c config/unicorn.rb -p $PORT", "tcp"),
        ("unicorn -c config/unicorn.rb", None),
        ("rails s -b 0.0.0.0", "tcp"),
        ("rails s -b 0.0.0.0 -p ${LANE:-3000}", None),
        ("unset PORT && rails server", {"tcp": 3000}),
        ("env -u PORT gunicorn a:b", {"tcp": 8000}),
        ("unset PORT; puma -C config/puma.rb", None),
        ("export PORT=3000; exec puma", {"tcp": 3000}),
        ("java -Dserver.port=$PORT -jar app.jar", "tcp"),
        ("./gradlew bootRun --server.port=8081", {"tcp": 8081}),
        ("java -jar app.jar", None),
    ],
)
def test_readiness_is_where_the_program_listens(command, ready):
    assert keyed(command).get("ready") == ready


@pytest.mark.parametrize(
    ("command", "say"),
    [
        ("nginx", "add -g 'daemon off;'"),
        ("celery -A a worker --detach", "leave out --detach"),
        ("redis-server --daemonize yes", "leave out --daemonize, or write --daemonize no"),
        ("docker compose up -d", "leave out -d"),
        ("gunicorn a:b --daemon", "leave out --daemon"),
        ("haproxy -D -f x", "leave out -D"),
        ("cd x && postgres", "write exec before postgres"),
        ("mix run", "add --no-halt"),
        ("cd x && bundle exec unicorn -p $PORT", "write exec before bundle"),
        ("PORT=3000 bundle exec puma", "leave PORT=3000 out, and set `port: 3000` for it in procman.yml"),
        ("env PORT=4000 yarn run start", "leave PORT=4000 out, and set `port: 4000` for it in procman.yml"),
        ("PORT=4000 ./server", "leave PORT=4000 out, and set `port: 4000` for it in procman.yml"),
        ("bin/thrust bin/rails server", "write HTTP_PORT=$PORT in front"),
        ("./server &", "leave out the & at its end"),
        ("nohup ./server > log 2>&1 & # for ever", "leave out the & at its end"),
        ("(./server &)", "leave out the & at its end"),
    ],
)
def test_what_only_the_command_can_say_is_told(command, say):
    assert say in said(command)


@pytest.mark.parametrize(
    "command",
    [
        "PORT=${PORT:-3000} rails s",
        "PORT=3000 bundle exec sidekiq",
        "cd x && PORT=$PORT exec puma",
        "nginx -g 'daemon off;'",
        "redis-server --daemonize no",
        "mix run --no-halt",
        "cd x && exec postgres",
    ],
)
def test_a_command_that_is_right_is_not_talked_about(command):
    assert said(command) == []


def test_a_singleton_that_runs_twice_is_told_about_and_not_capped():
    assert "max" not in keyed("celery -A a beat", count=2)
    assert "set its count to 1: it is 2" in said("celery -A a beat", count=2)


def test_names_of_instances_matter_where_there_are_several():
    assert said("celery -A a worker") == []
    assert said("celery -A a worker", count=2) == ['add -n "$PS@%h"']


def test_a_finding_names_its_type_line_and_place():
    (found,) = advise([TypeInput(name="lb", command="haproxy -W -db", line=7)], ("stop",))
    assert (found.type, found.line, found.path) == ("lb", 7, ("processes", "lb", "stop", "signal"))


def order(*commands: str, count: int = 1, written: frozenset[str] = frozenset()) -> dict[str, object]:
    types = [TypeInput(name=command.split()[0], command=command, count=count, written=written) for command in commands]
    return {one.type: one.value for one in advise(types, KEYS) if one.key == "depends_on"}


def test_a_worker_depends_on_the_queue_that_runs_beside_it():
    assert order("sidekiq", "puma", "redis-server") == {"sidekiq": ["redis-server"]}
    assert order("celery -A a worker", "redis-server", "rabbitmq-server") == {
        "celery": ["redis-server", "rabbitmq-server"]
    }
    assert order("rq worker", "postgres -D data") == {}
    assert order("sidekiq", "redis-server", written=frozenset({"depends_on"})) == {}
    assert order("sidekiq", "redis-server", count=0) == {}


@pytest.mark.parametrize("command", ["bin/shop daemon", "_build/prod/rel/shop/bin/shop daemon_iex"])
def test_a_release_that_goes_to_the_background_is_told_its_verb_for_the_foreground(command):
    assert said(command) == ["write `start` in place of `daemon`"]


@pytest.mark.parametrize("command", ["bin/shop start", "/usr/bin/ipfs daemon", "ipfs daemon", "bin/shop daemon x"])
def test_another_daemon_is_not_taken_for_a_release(command):
    assert said(command) == []
