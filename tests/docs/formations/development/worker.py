"""A worker that takes a job every second."""

import itertools
import time

for number in itertools.count(1):
    print("job", number)
    time.sleep(1)
