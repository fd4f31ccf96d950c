"""A score and its 95% interval."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gen_experiments.metrics.uncertainty import Interval, bootstrap_interval, normal_interval, wilson_interval

Statistic = Callable[[Tensor], float]
Steps = Callable[[int], Iterable[object]]


@dataclass
class Score:
    """A score and how it was computed.

    Attributes:
        value: the score.
        deviation: for KID and IS over subsets of the images; for FID∞ the deviation of the score itself.
        settings: what must be equal for two scores to be comparable.
        statistic: maps (N,) int64 indices of evaluated images -> the score of these; None if repeated images would
            spoil it.
        plug_in: the statistic of all evaluated images, if it is not the value.
        resampled: N, if not all evaluated images are compared.
        trials: N, if the score is a share of the evaluated images.
        spread: returns the score's deviation over samples of images, if there is no statistic.
        interval: the 95% interval, if it was asked for.
        of_class: the class with this score, if the score is the largest over classes.
    """

    value: float
    deviation: float | None = None
    settings: dict[str, int] = field(default_factory=dict)
    statistic: Statistic | None = None
    plug_in: float | None = None
    resampled: int | None = None
    trials: int | None = None
    spread: Callable[[], float] | None = None
    interval: Interval | None = None
    of_class: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the score as plain values, without fields that are None."""
        fields: dict[str, Any] = {"value": self.value, "settings": self.settings}
        if self.deviation is not None:
            fields["deviation"] = self.deviation
        if self.interval is not None:
            fields["interval"] = list(self.interval)
        if self.of_class is not None:
            fields["class"] = self.of_class
        return fields


def mean_of(values: Tensor) -> Statistic:
    """Returns the statistic of a score that is the mean of (N,) values of the evaluated images."""
    return lambda rows: float(values[rows].double().mean())


def add_intervals(scores: dict[str, Score], count: int, repeats: int, steps: Steps = range) -> None:
    """Adds 95% intervals to the scores for which a valid one is known, by resamples of the evaluated images.

    An interval is about the score of infinitely many evaluated images; for recall and coverage, which depend on the
    count, about the mean score of as many images. The reference is fixed, except for reconstructions, which are
    resampled with their originals; their KID, precision, recall, density and coverage get no interval.

    Args:
        scores: the scores by name.
        count: of the evaluated images.
        repeats: number of resamples.
        steps: iterates over a number of steps and may show the progress.
    """
    for name, score in scores.items():
        if name == "fid_infinity" and score.deviation is not None:
            score.interval = normal_interval(score.value, score.deviation)
        elif score.trials is not None:
            score.interval = wilson_interval(round(score.value * score.trials), score.trials)
        elif score.spread is not None:
            # A deviation of 0, as where all real images are found or none, says nothing about samples.
            if (deviation := score.spread()) > 0:
                low, high = normal_interval(score.value, deviation)
                score.interval = Interval(low, high) if name == "kid" else Interval(max(low, 0.0), min(high, 1.0))
        elif score.statistic is not None:
            rows = score.resampled or count
            of_all = score.value if score.plug_in is None else score.plug_in
            score.interval = bootstrap_interval(of_all, score.statistic, rows, repeats, steps=steps)
