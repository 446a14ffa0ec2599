"""What procman cannot keep on this system, for verbs that start nothing: the kernel finds it out."""

from __future__ import annotations

from procman.kernel.process.promises import broken_here

__all__ = ["broken_here"]
