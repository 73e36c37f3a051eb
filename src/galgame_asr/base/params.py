"""Section `base`: the model every curriculum starts from."""

from dataclasses import asdict

from pydantic import model_validator

from galgame_asr.base.built import BuiltBase
from galgame_asr.base.existing import ExistingBase
from galgame_asr.core.params import section


@section
class BaseParams:
    """One model. A stage for each of the two, as they depend on other things."""

    existing: ExistingBase
    built: BuiltBase

    @model_validator(mode="after")
    def _one_model(self) -> "BaseParams":
        given = [
            kind for part in (self.existing, self.built) for kind, v in asdict(part).items() if v
        ]
        if len(given) != 1:
            raise ValueError(
                "there must be one model, in existing (hub, directory or published_random) or in "
                "built (tiny or tiny_whisper), and the other empty, {}; "
                f"found {', '.join(given) or 'none'}"
            )
        return self
