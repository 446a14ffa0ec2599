"""A worker that finishes its job before it ends, and says so."""

import os
import signal
import threading

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())

job = 0
while not stop.wait(1.0):
    job += 1
    print(f"{os.environ['PS']} did job {job}")
print(f"{os.environ['PS']} says goodbye")
