"""Python scripts that more than one file of tests runs as workers."""

POLITE = """
import os, signal, sys
def end(*_):
    os.write(1, b"asked to end\\n")  # no print: the signal may come within one, which may not be entered again
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", os.getpid(), flush=True)
while True:
    signal.pause()
"""

STUBBORN = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", os.getpid(), flush=True)
while True:
    signal.pause()
"""
