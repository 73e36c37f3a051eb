"""What can be wrong with an utterance, as flags: in its text, its audio, its signal, or a repeat.

A flag is the name of a key of `manifest.severity` in params.yaml.
"""
