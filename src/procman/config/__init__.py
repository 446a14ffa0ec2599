"""Text to Plan. Parsing is pure; only load.py opens files."""
