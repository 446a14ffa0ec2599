"""Makes a Procfile and a procman.yml from the files of a folder, or from another supervisor's file.

Pure: text in, a `Converted` out, which also names what could not be carried over. Only the verb reads and writes files.
"""
