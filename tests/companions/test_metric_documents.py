"""Numbers in documents, and the kinds of metrics that read them from a server or a command."""

from __future__ import annotations

import base64
import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from waiting import is_gone, until

from procman.companions.autoscaler.building import KINDS, gauge_of
from procman.companions.autoscaler.fleet import TypeSeen
from procman.companions.autoscaler.metrics import ReadingError, number
from procman.companions.autoscaler.metrics.command import CommandGauge
from procman.companions.autoscaler.metrics.documents import (
    SampleSelector,
    json_number,
    plain_number,
    read_selector,
    sample_sum,
)
from procman.companions.autoscaler.metrics.web import HttpGauge, PrometheusGauge
from procman.core import autoscale_settings
from procman.core.autoscale_settings import HttpSource, Metric, PrometheusSource
from procman.errors import ConfigError

SEEN = TypeSeen(type="web", count=1)

PAGE = b"""# HELP jobs_waiting What waits.
# TYPE jobs_waiting gauge
jobs_waiting{queue="default",host="a"} 12
jobs_waiting{queue="default",host="b"} 30.5 1700000000000
jobs_waiting{queue="mail"} 1e3
escaped{path="C:\\\\x",quote="a \\"b\\" }",line="1\\n2",} 7
plain_total 5
 spaced  { a = "1" , b = "2" }  4
weird NaN
huge +Inf
"""


@pytest.mark.parametrize(
    ("text", "value"), [("5", 5), (" 5.5\n", 5.5), ("1e3", 1000), (".5", 0.5), ("+2", 2), ("-1", -1)]
)
def test_a_plain_number(text, value):
    assert plain_number(text) == value


@pytest.mark.parametrize("text", ["", "x", "5 6", "5,5", "0x10", "1_000", "nan", "inf", "٣", "--1", "1e"])
def test_what_is_no_plain_number(text):
    with pytest.raises(ReadingError):
        plain_number(text)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_the_rule_takes_no_number_below_nothing_and_none_without_end(value):
    with pytest.raises(ReadingError):
        number(value)


JSON = b'{"jobs": {"waiting": 42, "list": [1, {"n": 2.5}], "text": "5", "yes": true, "none": null}}'


@pytest.mark.parametrize(("path", "value"), [("jobs.waiting", 42), ("jobs.list.0", 1), ("jobs.list.1.n", 2.5)])
def test_a_number_at_a_path_of_a_document(path, value):
    assert json_number(JSON, path) == value


@pytest.mark.parametrize("path", ["", "jobs", "jobs.text", "jobs.yes", "jobs.none", "jobs.list.2", "jobs.list.-1", "x"])
def test_a_path_without_a_number_is_an_error(path):
    with pytest.raises(ReadingError):
        json_number(JSON, path)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, b'{"a": 1e400}'])
def test_a_document_that_is_no_json_is_an_error(body):
    with pytest.raises(ReadingError):
        number(json_number(body, "a"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain_total", 5),
        ('jobs_waiting{queue="default"}', 42.5),
        ('jobs_waiting{queue="default",host="a"}', 12),
        ("jobs_waiting", 1042.5),
        ('escaped{path="C:\\\\x"}', 7),
        ('escaped{quote="a \\"b\\" }", line="1\\n2"}', 7),
        ("spaced", 4),
    ],
)
def test_samples_that_match_are_added_up(text, value):
    assert sample_sum(PAGE, read_selector(text)) == value


@pytest.mark.parametrize("text", ["nobody", 'jobs_waiting{queue="x"}', 'plain_total{a="b"}'])
def test_no_sample_is_an_error_and_not_zero(text):
    with pytest.raises(ReadingError):
        sample_sum(PAGE, read_selector(text))


@pytest.mark.parametrize(
    "line",
    [
        b"a",
        b"a b c d",
        b"a{b=c} 1",
        b'a{b="c" 1',
        b'a{b="c"x="d"} 1',
        b"a 1 2 3",
        b"1a 1",
        b"a 0x1",
        b'a{b="c",b="d"} 1',
        b"\xff 1",
    ],
)
def test_a_line_that_is_not_of_the_format_is_an_error(line):
    with pytest.raises(ReadingError):
        sample_sum(PAGE + line + b"\n", read_selector("plain_total"))


@pytest.mark.parametrize("text", ["", "1a", "a{", 'a{b="c"', "a{b=c}", "a b"])
def test_what_is_no_selector(text):
    with pytest.raises(ValueError, match="expected"):
        read_selector(text)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.text(max_size=20))
def test_only_reading_errors_come_out_of_any_document(body, path):
    for read in (lambda: json_number(body, path), lambda: sample_sum(body, SampleSelector("a", {}))):
        with contextlib.suppress(ReadingError):
            assert isinstance(read(), float)


@given(
    st.lists(st.sampled_from(["a{", 'b="', '"', "\\", "}", ",", " ", "1", "\n", "x", "="]), max_size=40).map("".join)
)
def test_only_reading_errors_come_out_of_what_looks_like_a_page(text):
    with contextlib.suppress(ReadingError):
        sample_sum(text.encode(), SampleSelector("a", {}))


@pytest.mark.parametrize("piece", ["{", '"', "a{b=", 'a{b="', 'a{b="\\', "a ", ' ="'])
def test_no_page_takes_long(piece):
    with contextlib.suppress(ReadingError):
        sample_sum((piece * 100_000).encode(), SampleSelector("a", {}))


# ---- HTTP


@pytest.fixture
def pages():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization")))
            status, body = answers.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", "/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    asked, answers = [], {"/json": (200, JSON), "/metrics?token=geheim": (200, PAGE), "/moved": (302, b"")}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def test_a_number_from_a_web_server(pages):
    where, asked = pages
    gauge = HttpGauge(HttpSource(url=f"http://user:pass%20word@{where}/json", json="jobs.waiting"), 10)
    assert gauge.read(SEEN, 0.0) == 42
    assert asked == [("/json", f"Basic {base64.b64encode(b'user:pass word').decode()}")]


def test_a_sample_from_a_web_server(pages):
    where, _ = pages
    source = PrometheusSource(url=f"http://{where}/metrics?token=geheim", metric='jobs_waiting{queue="mail"}')
    assert PrometheusGauge(source, 10).read(SEEN, 0.0) == 1000


@pytest.mark.parametrize("path", ["nowhere", "moved"])
def test_any_other_answer_than_200_is_an_error_that_hides_the_password(pages, path):
    where, _ = pages
    gauge = HttpGauge(HttpSource(url=f"http://user:geheim@{where}/{path}?token=auch", json="x"), 10)
    with pytest.raises(ReadingError) as caught:
        gauge.read(SEEN, 0.0)
    assert "geheim" not in str(caught.value)
    assert "auch" not in str(caught.value)


def test_a_web_server_that_is_not_there_is_an_error_without_the_password():
    gauge = HttpGauge(HttpSource(url="http://user:geheim@127.0.0.1:1/x", json="x"), 10)
    with pytest.raises(ReadingError, match=r"http://127\.0\.0\.1:1/x") as caught:
        gauge.read(SEEN, 0.0)
    assert "geheim" not in str(caught.value)
    assert "Errno" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "nonsense", "http://u:geheim@h:port/", "http://[::1/"])
def test_an_address_that_is_none_is_refused_without_its_text(url):
    with pytest.raises(ConfigError) as caught:
        gauge_of(Metric(http=HttpSource(url=url, json="x"), target=1.0))
    assert "geheim" not in str(caught.value)


# ---- commands


def test_a_command_prints_a_number():
    assert CommandGauge("echo 17.5; echo noise >&2", 20).read(SEEN, 0.0) == 17.5


@pytest.mark.parametrize("command", ["exit 3", "echo x", "echo 1 2", "echo", "kill -9 $$", "yes 1", "no-such-command"])
def test_a_command_that_prints_none_is_an_error(command):
    with pytest.raises(ReadingError):
        CommandGauge(command, 20).read(SEEN, 0.0)


def test_a_command_that_hangs_is_ended_with_its_group(tmp_path):
    with pytest.raises(ReadingError, match="longer than"):
        CommandGauge(f"sleep 1000 & echo $! > {tmp_path}/pid; wait", 0.3).read(SEEN, 0.0)
    pid = int(until((tmp_path / "pid").read_text))
    until(lambda: is_gone(pid), "its end")


def test_what_a_command_leaves_behind_is_ended(tmp_path):
    command = f"sleep 1000 >/dev/null & echo $! > {tmp_path}/pid; echo 4"
    assert CommandGauge(command, 20).read(SEEN, 0.0) == 4
    pid = int((tmp_path / "pid").read_text())
    until(lambda: is_gone(pid), "its end")


# ---- the registry


def test_every_kind_of_the_settings_has_a_row():
    assert tuple(KINDS) == autoscale_settings.KINDS
    assert {k for k in Metric.__struct_fields__ if k not in {"target", "timeout"}} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_makes_a_gauge(kind):
    values = {
        "cpu": 0.7,
        "queue": autoscale_settings.RedisSource(redis="redis://h/0", celery="celery"),
        "latency": autoscale_settings.RedisSource(redis="redis://h/0", rq="default"),
        "haproxy": autoscale_settings.HaproxySource(socket="s", backend="web"),
        "http": HttpSource(url="http://h/", json="a"),
        "prometheus": PrometheusSource(url="http://h/", metric="a"),
        "command": "echo 1",
    }
    target = UNSET if kind == "cpu" else 5.0
    assert hasattr(gauge_of(Metric(target=target, **{kind: values[kind]})), "read")
