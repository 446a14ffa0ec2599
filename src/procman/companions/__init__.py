"""Programs of procman's own that run beside the formation: clients of the control socket, supervised like instances.

A fault in one never ends a worker. Each program is a package of its own below, and a row in `registry`. They know
`observe`, `control` and `core`, and no other room.
"""
