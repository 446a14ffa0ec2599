"""The usual servers and tools: how each is recognised in a command, and what to tell procman about it.

Advice only: nothing here changes how a process is run. The facts are data (programs.toml); everything but their reading
is pure.
"""
