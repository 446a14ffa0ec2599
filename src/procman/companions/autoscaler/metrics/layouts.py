"""How libraries store queues in redis: for each layout the number of items, and since when the oldest has waited.

First redis's own types, then the libraries, each by its documentation or, without one, by its current version (tests
enqueue real jobs with the real libraries). All counts include items that are being worked on: a worker must not be
removed because it has just emptied the queue. A missing key is an empty queue, which redis does not store.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

from procman.companions.autoscaler.metrics import ReadingError
from procman.core.autoscale_settings import RedisSource

Ask: TypeAlias = Callable[..., Any]
"""Runs one command with its arguments in redis; returns integers, bytes, or lists of them, as RESP2 has them."""

Length = Callable[[Ask, RedisSource, float], int]
Oldest = Callable[[Ask, RedisSource, float], float | None]

MILLISECONDS = 1e11
"""Times above it are in milliseconds: in seconds it would be the year 5138."""

CELERY_PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
"""What Kombu appends to a queue's name for each of its default `priority_steps` 0, 3, 6, 9."""

CELERY_UNACKED = "unacked"

SCANNED = 1000
"""How many jobs of arq are searched for one that no worker has taken."""


def _count(answer: object) -> int:
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise ReadingError("redis answered with no number")
    return answer


# ---- redis's own types


def _list_length(ask: Ask, source: RedisSource, _now: float) -> int:
    waiting = _count(ask("LLEN", str(source.list)))
    return waiting + (_count(ask("HLEN", source.unacked)) if isinstance(source.unacked, str) else 0)


def _sorted_set_length(ask: Ask, source: RedisSource, _now: float) -> int:
    return _count(ask("ZCARD", str(source.sorted_set)))


def _stream_length(ask: Ask, source: RedisSource, _now: float) -> int:
    """The items of a consumer group: those that were not delivered yet, and those delivered and not acknowledged."""
    key = str(source.stream)
    if not isinstance(source.group, str):
        return _count(ask("XLEN", key))
    group = _group(ask, key, source.group)
    if group is None:
        return 0
    lag = group.get("lag")
    if lag is None:  # entries were deleted from the middle: redis does not know the number, so count what is left
        lag = len(ask("XRANGE", key, f"({group['last-delivered-id']}", "+", "COUNT", 100_000))
    return _count(group.get("pending")) + _count(lag)


def _group(ask: Ask, key: str, name: str) -> dict[str, Any] | None:
    """What redis knows of a consumer group; None if there is no stream yet."""
    if not _count(ask("EXISTS", key)):
        return None
    for answer in ask("XINFO GROUPS", key):
        pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=False)
        group = {_text(field): value for field, value in pairs}
        if _text(group.get("name")) == name:
            return group | {"last-delivered-id": _text(group.get("last-delivered-id"))}
    raise ReadingError(f"the stream {key} has no group {name}")


def _stream_oldest(ask: Ask, source: RedisSource, _now: float) -> float | None:
    key, begin = str(source.stream), "-"
    if isinstance(source.group, str):
        group = _group(ask, key, source.group)
        if group is None:
            return None
        begin = f"({group['last-delivered-id']}"
    entries = ask("XRANGE", key, begin, "+", "COUNT", 1)
    return _seconds(_text(entries[0][0]).partition("-")[0]) if entries else None


def _sorted_set_oldest(ask: Ask, source: RedisSource, _now: float) -> float | None:
    """The lowest score, as a Unix time in seconds or milliseconds."""
    pairs = ask("ZRANGE", str(source.sorted_set), 0, 0, "WITHSCORES")
    return _scores(pairs)[0][1] if pairs else None


# ---- Celery


def _celery_length(ask: Ask, source: RedisSource, _now: float) -> int:
    """The lists of all priorities, and the hash of items that workers have taken (from all queues of this database)."""
    lists = (ask("LLEN", f"{source.celery}{priority}") for priority in CELERY_PRIORITIES)
    return sum(map(_count, lists)) + _count(ask("HLEN", CELERY_UNACKED))


# ---- RQ


def _rq_length(ask: Ask, source: RedisSource, now: float) -> int:
    """The queue, and the started jobs that have not expired: those of a dead worker stay in the registry."""
    waiting = _count(ask("LLEN", f"rq:queue:{source.rq}"))
    return waiting + _count(ask("ZCOUNT", f"rq:wip:{source.rq}", now, "+inf"))


def _rq_oldest(ask: Ask, source: RedisSource, _now: float) -> float | None:
    job = ask("LINDEX", f"rq:queue:{source.rq}", 0)
    if job is None:
        return None
    enqueued = ask("HGET", f"rq:job:{_text(job)}", "enqueued_at")
    if enqueued is None:  # taken or deleted in between
        return None
    try:
        return datetime.fromisoformat(_text(enqueued)).timestamp()
    except ValueError:
        raise ReadingError("the time of RQ's oldest job is of an unknown form") from None


# ---- Sidekiq


def _sidekiq_length(ask: Ask, source: RedisSource, _now: float) -> int:
    """The queue, and the jobs that Sidekiq's processes work on (of all queues)."""
    busy = 0
    for process in ask("SMEMBERS", "processes"):
        answer = ask("HGET", _text(process), "busy")
        busy += 0 if answer is None else _whole(_text(answer))
    return _count(ask("LLEN", f"queue:{source.sidekiq}")) + busy


def _sidekiq_oldest(ask: Ask, source: RedisSource, _now: float) -> float | None:
    job = ask("LINDEX", f"queue:{source.sidekiq}", -1)
    return None if job is None else _json_time(job, "enqueued_at")


# ---- arq


def _arq_length(ask: Ask, source: RedisSource, now: float) -> int:
    """Jobs that are due. A job stays in the set until it is done."""
    return _count(ask("ZCOUNT", str(source.arq), "-inf", now * 1000))


def _arq_oldest(ask: Ask, source: RedisSource, now: float) -> float | None:
    pairs = ask("ZRANGEBYSCORE", str(source.arq), "-inf", now * 1000, "WITHSCORES", "LIMIT", 0, SCANNED)
    for job, due in _scores(pairs):
        if not _count(ask("EXISTS", f"arq:in-progress:{job}")):
            return due
    return None


# ---- Dramatiq


def _dramatiq_length(ask: Ask, source: RedisSource, _now: float) -> int:
    """Messages that are not acknowledged, waiting or taken. Delayed messages are in a queue of their own."""
    return _count(ask("HLEN", f"dramatiq:{source.dramatiq}.msgs"))


def _dramatiq_oldest(ask: Ask, source: RedisSource, _now: float) -> float | None:
    message = ask("LINDEX", f"dramatiq:{source.dramatiq}", 0)
    if message is None:
        return None
    data = ask("HGET", f"dramatiq:{source.dramatiq}.msgs", _text(message))
    return None if data is None else _json_time(data, "message_timestamp")


LENGTHS: dict[str, Length] = {
    "list": _list_length,
    "stream": _stream_length,
    "sorted_set": _sorted_set_length,
    "celery": _celery_length,
    "rq": _rq_length,
    "sidekiq": _sidekiq_length,
    "arq": _arq_length,
    "dramatiq": _dramatiq_length,
}

AGES: dict[str, Oldest] = {
    "stream": _stream_oldest,
    "sorted_set": _sorted_set_oldest,
    "rq": _rq_oldest,
    "sidekiq": _sidekiq_oldest,
    "arq": _arq_oldest,
    "dramatiq": _dramatiq_oldest,
}


# ---- values


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ReadingError("redis holds no number where one is expected")
    return int(text)


def _scores(answer: list[Any]) -> list[tuple[str, float]]:
    """Members with their scores, as a flat list (RESP2) or in pairs, depending on the client."""
    flat = [value for pair in answer for value in (pair if isinstance(pair, list | tuple) else (pair,))]
    return [(_text(member), _seconds(score)) for member, score in zip(flat[::2], flat[1::2], strict=False)]


def _seconds(value: object) -> float:
    """A Unix time in seconds or milliseconds, as seconds."""
    try:
        time = float(_text(value))
    except ValueError:
        raise ReadingError("a time in redis is not a number") from None
    return time / 1000 if time > MILLISECONDS else time


def _json_time(document: bytes, field: str) -> float:
    try:
        value = json.loads(document)[field]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ReadingError(f"the oldest item has no {field}") from None
    return _seconds(value)
