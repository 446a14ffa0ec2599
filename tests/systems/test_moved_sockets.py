"""A reload gives a type another shared socket, its first one, or none: who tries the new address first finds an answer always."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from serving import WSGI
from system import SLOW, Example, get, needs
from under_load import all_ready, all_renewed

pytestmark = needs("env", modules=("gunicorn",))

CLIENTS = 8
"""Each asks again and again while the reload goes on."""

REFUSED = "Connection refused"
DROPPED = "Connection reset by peer"


@pytest.fixture
def gunicorn(server: Example) -> Example:
    """Three of them: on the sockets that they are given, else on their PORT."""
    server.world.file("app.py", WSGI)
    server.world.procfile(web="gunicorn -k gthread --threads 8 --no-control-socket app:app")
    return server


def write(gunicorn: Example, **keys: object) -> None:
    settings = {"formation": {"web": 3}, "processes": {"web": {"ready": "notify"} | keys}}
    gunicorn.world.file("procman.yml", json.dumps(settings))  # which is YAML, too


def shared(port: int) -> str:
    return f"tcp://127.0.0.1:{port}"


def first_answer(ports: Iterable[int], own: int) -> tuple[int, str]:
    """That of the first of these ports where a request is taken. On `own` a program listens by itself: as it closes that
    listener, the system resets the connections that it has not accepted yet.
    """
    answer = (0, "no port was given")
    for port in ports:
        answer = get(port)
        if REFUSED not in answer[1] and not (port == own and DROPPED in answer[1]):
            break
    return answer


@contextmanager
def clients(ask: Callable[[], tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Clients that ask for as long as the block lasts, and once more after it; then the list has the answers other than 200."""
    failed: list[tuple[int, str]] = []
    over = threading.Event()

    def go_on() -> None:
        last = False
        while not last:
            last = over.is_set()
            if (answer := ask())[0] != 200:
                failed.append(answer)

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(go_on) for _ in range(CLIENTS)]
        try:
            yield failed
        finally:
            over.set()
        for one in running:
            one.result()


@pytest.mark.parametrize("what", ["moved", "removed", "added", "renamed"])
def test_no_request_fails_while_a_reload_changes_the_shared_socket(gunicorn, what):
    old, new = gunicorn.port, gunicorn.port + 50
    keys: dict[str, tuple[dict[str, object], dict[str, object]]] = {
        "moved": ({"socket": shared(old)}, {"socket": shared(new)}),
        "removed": ({"socket": shared(old)}, {"port": new}),
        "added": ({"port": old}, {"socket": shared(new)}),
        "renamed": ({"socket": {"http": shared(old)}}, {"socket": {"web": shared(old), "more": shared(new)}}),
    }
    write(gunicorn, **keys[what][0])
    supervisor = gunicorn.start()
    before = all_ready(supervisor, 3)
    write(gunicorn, **keys[what][1])
    ports = {"renamed": [old], "added": [new, old, new]}.get(what, [new, old])
    with clients(lambda: first_answer(ports, old if what == "added" else 0)) as failed:
        done = gunicorn.run("reload", "--wait=80")
    assert done.code == 0, done
    assert all_renewed(supervisor, before)
    assert failed == []
    if what != "renamed":
        assert REFUSED in get(old)[1]
        assert get(new)[0] == 200
    assert supervisor.stop(SLOW) == 0


def test_the_old_socket_stays_open_until_every_instance_has_been_replaced(gunicorn):
    old, new = gunicorn.port, gunicorn.port + 50
    write(gunicorn, socket=shared(old))
    supervisor = gunicorn.start()
    before = all_ready(supervisor, 3)
    write(gunicorn, socket=shared(new))
    with ThreadPoolExecutor(1) as pool:
        reload = pool.submit(gunicorn.run, "reload", "--wait=80")
        while REFUSED not in get(old)[1]:
            pass
        assert all_renewed(supervisor, before)
        assert reload.result().code == 0
    assert supervisor.stop(SLOW) == 0


def test_a_version_that_fails_on_its_new_socket_leaves_the_old_one_serving(gunicorn):
    old, new = gunicorn.port, gunicorn.port + 50
    write(gunicorn, socket=shared(old))
    supervisor = gunicorn.start()
    all_ready(supervisor, 3)
    write(gunicorn, socket=shared(new), env={"GUNICORN_CMD_ARGS": "--no-such-option"})
    with clients(lambda: get(old)) as failed:
        done = gunicorn.run("reload", "--wait=80")
        assert done.code == 1
        assert "rollout of web aborted" in done.err
        all_ready(supervisor, 3)
    assert failed == []
    assert REFUSED in get(new)[1]
    assert supervisor.stop(SLOW) == 0
