"""A Procfile and a procman.yml out of what a folder holds, or out of another supervisor's file.

All of it is pure: text in, a `Converted` out, which names what could not be carried over. Only the verb reads and writes.
"""
