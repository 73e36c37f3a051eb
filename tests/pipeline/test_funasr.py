"""A checkpoint of the pipeline in an unchanged funasr, imported as its users import it."""

import json
import subprocess
import sys

import pandas as pd

from galgame_asr.core.reader import ShardReader
from galgame_asr.decoding import transcripts
from tests.pipeline.conftest import Workspace

# Runs in a process of its own: this project's modules must not be there to help.
GENERATE = """
import json, sys, torch
from funasr import AutoModel
requests = json.load(open(sys.argv[2]))
model = AutoModel(model=sys.argv[1], device="cpu", ncpu=1, disable_update=True)
texts = {}
for request in requests:
    (result,) = model.generate(
        input=[torch.tensor(request["audio"])], language="日文", max_length=request["max_tokens"]
    )
    texts[request["id"]] = result["text"]
json.dump(texts, open(sys.argv[3], "w"))
"""


def test_automodel_gives_the_decoded_text_for_the_whole_test_set(workspace: Workspace) -> None:
    """`AutoModel.generate`, one utterance at a time, equals the batches of stage decode."""
    root = workspace.root
    rows = pd.read_parquet(root / "data/split/test.parquet")
    reader = ShardReader(root / "data/raw")
    requests = [
        {"id": key, "audio": reader.read_row(row).tolist(), "max_tokens": 12}
        for key, row in zip(transcripts.keys(rows), rows.to_dict("records"), strict=True)
    ]
    (root / "requests.json").write_text(json.dumps(requests))
    subprocess.run(
        [sys.executable, "-c", GENERATE, "models/full/p100", "requests.json", "texts.json"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    theirs = json.loads((root / "texts.json").read_text())
    decoded = transcripts.read(root / "data/decoded/full/p100-japanese.jsonl")["test"]
    ours = {id_: transcript.text for id_, transcript in decoded.items()}
    assert len(ours) >= 10
    assert theirs == ours
