"""Where fuzzing begins: valid inputs of each target, and the words that they are made of."""

from __future__ import annotations

from procman.core.events import (
    Commanded,
    Exited,
    ExitStatus,
    FormationStarted,
    Scale,
    ShutdownAsked,
    Spawned,
    TimerFired,
)
from procman.core.fleet import Fleet
from procman.core.spec import Plan, ProcessSpec
from procman.core.timers import SlotTimer
from procman.core.trace import FORMAT, Trace, TraceHeader
from procman.kernel.survive.guardian import HEADER, RECORD, VERSION


def a_trace() -> bytes:
    """A short run, as QUIT writes it."""
    spec = ProcessSpec(type="web", command="./web", cwd="/", env={"SECRET": "x"})
    fleet = Fleet(Plan(root="/", types={"web": spec}, counts={"web": 2}, positions={"web": 0}))
    trace = Trace(fleet)
    events = [
        FormationStarted(),
        Spawned("web.1", 1, 10),
        Spawned("web.2", 1, 11),
        TimerFired(SlotTimer("web.1"), 1),
        Exited("web.2", 1, ExitStatus(1), "", 0.5),
        Commanded(Scale({"web": 3}, {}), 1),
        ShutdownAsked("TERM"),
    ]
    for number, event in enumerate(events):
        trace.note(float(number), event)
        fleet.handle(event, float(number))
    return b"".join(trace.lines(TraceHeader(FORMAT, "0", "a test", 0.0)))


SEEDS: dict[str, list[bytes]] = {
    "protocol": [
        b'{"jsonrpc":"2.0","id":1,"method":"scale","params":{"to":{"web":4},"by":{"a":-1}}}',
        b'{"jsonrpc":"2.0","id":"x","method":"logs","params":{"names":["web*","[a-z].1"],"lines":5,"follow":true}}',
        b'{"jsonrpc":"2.0","method":"signal","params":{"signal":"TERM","names":["*"],"leader":true},"id":null}',
        b'{"jsonrpc":"2.0","id":2,"method":"input","params":{"stream":1,"text":"x","base64":"eA=="}}',
    ],
    "request": [
        b'{"jsonrpc":"2.0","id":1,"method":"scale","params":{"to":{"job":4},"by":{"web":-1}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"logs","params":{"names":["web*","job"],"lines":1}}',
        b'{"jsonrpc":"2.0","id":1,"method":"stop","params":{"names":["*.1"],"all":false}}',
        b'{"jsonrpc":"2.0","id":1,"method":"restart","params":{"names":["web.2"]}}',
        b'{"jsonrpc":"2.0","id":1,"method":"signal","params":{"signal":"15","names":["web"]}}',
        b'{"jsonrpc":"2.0","id":1,"method":"attach","params":{"instance":"web"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"shutdown"}',
    ],
    "answer": [
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"cannot","data":{"hint":"h"}}}',
        b'{"jsonrpc":"2.0","method":"output","params":{"stream":1,"instance":"web.1","time":1.5,"text":"x"}}',
    ],
    "procfile": [b"web: python app.py --port $PORT\n# comment\n\nworker:exec run\\\r\n", b"\xef\xbb\xbfrelease: x\n"],
    "envfile": [b"A=1\nexport B='two words'\nC=\"${A}-${D:-x}\\n\"\nPATH=/opt:${PATH}\n# c\n", b"X=\xc3\xbc # y\n"],
    "yaml": [
        b"formation: {web: 2}\nprocesses:\n  web: &w\n    env: {A: 1, B: yes}\n    stop: {grace: 1.5}\n  b: *w\n",
        b"defaults:\n  restart: {policy: on-failure, delay: 0.5, max_restarts: null, no_retry_exit_codes: [1, 0x2]}\n",
    ],
    "formation": [b"web=2,worker=0", b"web+1 my-web-1", b"all=3"],
    "terminal": [
        b"\x1b[1;31mred\x1b[0m\r\n\x1b]0;title\x07\xc2\x9b2J\xe2\x80\xa8x\x00",
        b"10%\r20%\r\xf0\x9f\x98",
        b"\x1b[?1049h\x1bP+q\x1b\\",
    ],
    "table": [HEADER.pack(VERSION, 7, b"PROCMAN_INSTANCE=7-ab/") + RECORD.pack(9, 1, 0, 15, 1.0, 10.0, False, True)],
    "trace": [a_trace()],
    "haproxy": [
        b"1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_port\n3 web 1 web1 ::1 2 4 80\n\n",
        b"# bkname/svname bkid/svid addr port - used_cur\nweb/web1 3/1 127.0.0.1 80 - 7\n\n",
        b'# pxname,svname,qcur,scur,rate,last_chk,\nweb,BACKEND,3,12,42,"a ""b""",\n\n',
        b"Name: HAProxy\nVersion: 2.6.12-1\nPid: 42\n\n",
        b"No such server.\n\n",
    ],
    "queue": [
        b"||job|2026-11-27T10:00:00.5Z|1,2",
        b'a,1700000000000|{"enqueued_at": 1.7e9, "message_timestamp": 1700000000000}|5|1-0,2-0',
    ],
    "metric": [b'{"a": [5, 1e3]}', b'# TYPE a gauge\na{b="c\\"",d="e"} 1.5 1700000000000\na 5\n', b" 17.5e1\n"],
}
