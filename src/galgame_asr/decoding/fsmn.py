"""FSMN-VAD: funasr's own model class, loaded from a directory in FunASR's layout.

A model directory holds config.yaml, model.pt and am.mvn (shifts and scales of
the features), as published at iic/speech_fsmn_vad_zh-cn-16k-common-pytorch.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.decoding.segments import Audio, Segment, plain_torch
from galgame_asr.families.fun_asr_nano.funasr_parts import FsmnVADStreaming, WavFrontendOnline
from galgame_asr.families.fun_asr_nano.weights import load_weights
from galgame_asr.messages.errors import CheckpointError, ConfigError

SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000
# funasr takes the logarithms of p and of 1 - p.
LEAST_PROBABILITY = torch.finfo(torch.float32).eps


class Fsmn:
    """The `Detector` of FSMN-VAD."""

    def __init__(self, model: FsmnVADStreaming, frontend: WavFrontendOnline) -> None:
        self.model, self.frontend = model, frontend

    @plain_torch()
    def speech(self, audio: Audio) -> list[Segment]:
        """Speech with the margins of the model's config around it; see `Detector`."""
        results, _ = self.model.inference(
            [torch.from_numpy(audio)],
            key=["audio"],
            frontend=self.frontend,
            device="cpu",
            # Unless it is named, funasr replaces the config's pause by one of up to 2 s.
            max_end_silence_time=self.model.vad_opts.max_end_silence_time,
        )
        return [
            Segment(start_ms * SAMPLES_PER_MS, end_ms * SAMPLES_PER_MS)
            for start_ms, end_ms in results[0]["value"]
        ]

    def hears(self, audio: Audio) -> bool:
        """See `Detector`; it has no other measure than `speech`."""
        return bool(self.speech(audio))


def load(directory: Path | None) -> Fsmn:
    """Load a model directory.

    Raises:
        ConfigError: no directory is given.
        CheckpointError: a file is missing, damaged or of another model; the
            message names it.
    """
    if directory is None:
        raise ConfigError("fsmn needs a model directory with config.yaml, model.pt and am.mvn")
    file, cmvn = directory / "config.yaml", directory / "am.mvn"
    config = _read_config(file)
    if not cmvn.exists():
        raise CheckpointError(f"{cmvn} is missing")
    try:
        model = build(config)
        # Dither is noise: segments would differ from run to run.
        frontend = WavFrontendOnline(
            **config["frontend_conf"] | {"cmvn_file": str(cmvn), "dither": 0.0}
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{file} does not describe an FSMN-VAD: {error!r}") from None
    except (IndexError, ValueError) as error:
        raise CheckpointError(f"{cmvn} cannot be read: {error}") from None
    width = model.encoder.input_dim
    if frontend.output_size() != width or frontend.cmvn.shape != (2, width):
        raise CheckpointError(
            f"{cmvn} has shape {tuple(frontend.cmvn.shape)} for {frontend.output_size()} features; "
            f"the encoder of {file} takes {width}"
        )
    load_weights(model, directory / "model.pt")
    return Fsmn(model, frontend)


def build(config: Mapping[str, Any]) -> FsmnVADStreaming:
    """Make the model that a config.yaml describes, with random weights.

    Raises:
        KeyError, TypeError: a section is missing or has other keys.
    """
    # `cut` finds a better place in long speech than the first frame beyond a limit.
    options = {**config["model_conf"], "max_single_segment_time": math.inf}
    model = FsmnVADStreaming(config["encoder"], config["encoder_conf"], **options)
    # Certainty would end in a math domain error.
    model.encoder.register_forward_hook(
        lambda _model, _arguments, scores: scores.clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    )
    return model.eval()


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = YAML(typ="safe").load(file)
    except FileNotFoundError:
        raise CheckpointError(f"{file} is missing") from None
    except YAMLError as error:
        raise CheckpointError(f"{file} is not valid YAML: {error}") from None
    kind = config.get("model") if isinstance(config, dict) else None
    if kind != "FsmnVADStreaming":
        raise CheckpointError(f"{file} is of model {kind}, not of FsmnVADStreaming")
    described: dict[str, Any] = config
    return described
