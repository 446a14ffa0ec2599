"""What `docs/generate.py` makes: one module for each source, each a function that returns Markdown."""
