"""What an entry of kind `transcripts` of section `baselines` may say."""

from typing import Literal

from galgame_asr.core.params import section


@section
class TranscriptsFile:
    """A file of ids and texts; an id is CORPUS/ID, or ID where only one corpus has it."""

    kind: Literal["transcripts"]
    path: str
    # tsv: two columns, or those that a first line names id and text; jsonl: keys id and text;
    # kaldi: lines `ID TEXT`; compute_wer: what that program prints, of which hyp: counts.
    format: Literal["tsv", "jsonl", "kaldi", "compute_wer"]
    # Of an utterance that the file does not have: stop, or count it as an empty text.
    missing: Literal["fail", "empty"] = "fail"


Entry = TranscriptsFile
