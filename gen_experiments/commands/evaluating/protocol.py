"""The protocol of an evaluation: the options that `evaluate` and `compare --rescore` share."""

from dataclasses import dataclass
from typing import Literal

from gen_experiments.commands.evaluating.copies import OF_COPIES
from gen_experiments.commands.evaluating.reconstructions import GAIN, OF_CODES, PAIRED
from gen_experiments.data.damage import Damage
from gen_experiments.errors import UserError, check_interval
from gen_experiments.evaluation.scores import METRICS
from gen_experiments.losses.perceptual import Perceptual
from gen_experiments.priors.decoding import UNCHANGED, DecodingChanges


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The protocol of an evaluation; the fields are the options of `evaluate`.

    Raises:
        UserError: a number is out of range, or there is no such metric.
    """

    metrics: list[str] | None
    num: int
    seed: int
    bootstrap: int
    device: str
    covariance: Literal["n-1", "n"] = "n-1"
    lpips: Perceptual | None = None
    damage: list[Damage] | None = None
    decoding: DecodingChanges = UNCHANGED

    def __post_init__(self) -> None:
        check_interval("[2, inf)", num=self.num)
        check_interval("[0, inf)", seed=self.seed)
        if self.bootstrap:
            check_interval("[39, inf)", bootstrap=self.bootstrap)  # fewer resamples have no quantile of 2.5%
        known = (*METRICS, *OF_COPIES, *PAIRED, GAIN, "lpips", *OF_CODES)
        unknown = sorted(set(self.metrics or ()) - set(known))
        if unknown:
            raise UserError(f"there is no metric {unknown[0]}: choose from {', '.join(known)}")

    @property
    def of_features(self) -> bool | None:
        """Whether a metric needs features; None if all metrics that can be computed are wanted."""
        return None if self.metrics is None else bool({*self.metrics} & {*METRICS, *OF_COPIES})
