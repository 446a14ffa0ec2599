"""procman: a process-model supervisor for Procfiles."""

__version__ = "0.1.0"
