"""What procman cannot do on this system, for verbs, which do not import the kernel."""

from __future__ import annotations

from procman.kernel.process.limitations import limitations_here

__all__ = ["limitations_here"]
