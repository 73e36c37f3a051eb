"""Errors a user can act on; the command line prints them as one message, without a traceback."""


class GalgameAsrError(Exception):
    """Base of every error this project raises on purpose."""

    exit_status = 1


class ConfigError(GalgameAsrError):
    """A value in params.yaml, a profile or the command line cannot be used."""


class DataError(GalgameAsrError):
    """A corpus, shard, utterance or table is missing, damaged or inconsistent."""


class UtteranceError(DataError):
    """The audio of one utterance cannot be used; that of others can."""


class CheckpointError(GalgameAsrError):
    """A model directory or checkpoint is missing, damaged or of another shape."""


class ExportError(GalgameAsrError):
    """An exported model cannot be written or read, or must not be published."""


class OutOfMemoryError(GalgameAsrError):
    """One of several processes has no room on its GPU; all go on with smaller micro-batches."""


class InterruptionError(GalgameAsrError):
    """The process was asked to stop, and has saved what the next run needs to go on."""

    exit_status = 75  # EX_TEMPFAIL of sysexits.h: try again later
