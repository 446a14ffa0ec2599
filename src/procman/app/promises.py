"""What procman cannot keep on this system, as the kernel finds out."""

from __future__ import annotations

from procman.kernel.process.promises import broken_here

__all__ = ["broken_here"]
