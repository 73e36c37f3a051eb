"""Section `baselines`: other people's models and transcripts, by name."""

from galgame_asr.baselines.transcripts.params import TranscriptsFile

Entry = TranscriptsFile
Baselines = dict[str, Entry]
