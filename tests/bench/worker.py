"""The children of the harness where there is no C compiler; worker.c says what each mode does."""

import os
import re
import select
import signal
import sys
import time

BLOCK = 65536


def put(data):
    while data:
        data = data[os.write(1, data) :]


def flood(lines, length):
    per_block = max(1, BLOCK // length)
    at = 0
    while lines is None or at < lines:
        end = at + per_block if lines is None else min(at + per_block, lines)
        put(b"".join((b"@LINE~%010d " % i).ljust(length - 1, b"x") + b"\n" for i in range(at, end)))
        at = end
    put(b"@DONE~\n")


def pulse(milliseconds):
    while True:
        put(b"@BEAT~%d.\n" % time.monotonic_ns())
        time.sleep(milliseconds / 1000)


def pieces():
    """What comes in, in whole lines."""
    rest = b""
    while data := os.read(0, 1 << 20):
        data = rest + data
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        yield data[:cut]


def count(writers, expected):
    lines = done = last = 0
    for data in pieces():
        first, still = not lines, done < writers
        lines += data.count(b"@LINE~")
        done += data.count(b"@DONE~")
        last = time.monotonic_ns() if still else last
        if first and lines:
            put(b"FIRST~%d %d\n" % (last, lines))
        if done >= writers and (lines >= expected or not select.select([0], [], [], 0.5)[0]):
            break
    put(b"TOTAL~%d %d\n" % (last, lines))


def delays(skip, wanted):
    found = []
    for data in pieces():
        arrived = time.monotonic_ns()
        found += [arrived - int(beat) for beat in re.findall(rb"@BEAT~(\d+)\.", data)]
        if len(found) >= skip + wanted:
            break
    put(b"TOTAL~" + b" ".join(b"%d" % delay for delay in found[skip : skip + wanted]) + b"\n")


match sys.argv[1:]:
    case ["ready"]:
        put(b"READY~%d.\n" % os.getpid())
    case ["flood", lines, length]:
        flood(int(lines), int(length))
    case ["endless", length]:
        flood(None, int(length))
    case ["pulse", milliseconds]:
        pulse(int(milliseconds))
    case ["count", writers, expected]:
        count(int(writers), int(expected))
    case ["delays", skip, wanted]:
        delays(int(skip), int(wanted))
    case _:
        sys.exit(2)
while True:
    signal.pause()
