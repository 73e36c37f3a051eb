"""Formats of other runtimes, one module each, named like the format in params.

Each has `export(checkpoint, output, precision)`, which fills an empty directory. A family in
`galgame_asr.families` decodes with it: an export counts only after it said the same.
"""
