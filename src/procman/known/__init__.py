"""The usual servers and tools: how to recognise each in a command, and what to set in procman.yml for it.

Advice only: nothing here changes how a process is run. The facts are data (programs.toml); everything except reading
them is pure.
"""
