"""The core decides. Pure: no clock, no files, no processes, no randomness; time and jitter are arguments."""
