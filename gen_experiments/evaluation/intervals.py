"""A number, how it came about, and its 95% interval."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gen_experiments.metrics.uncertainty import Interval, bootstrap_interval, normal_interval, wilson_interval

Statistic = Callable[[Tensor], float]
Steps = Callable[[int], Iterable[object]]


@dataclass
class Score:
    """A number and how it came about.

    Attributes:
        value: the number.
        deviation: of KID and IS over subsets of the images; of FID∞ that of the number itself.
        settings: what must be equal for two such numbers to be compared.
        statistic: maps (N,) int64 indices of the evaluated images -> the number of a sample of these; None where images
            that occur twice would spoil it.
        plug_in: the statistic of all evaluated images, where that is not the value.
        resampled: N, where not all of the evaluated images are compared.
        trials: N, where the number is a share of the evaluated images.
        spread: the number's deviation over samples of the evaluated images, from a count of subsamples, where it is
            had in another way.
        interval: the number's 95% interval, if it was asked for.
        of_class: the name of the class that has it, where it is the largest of all classes.
    """

    value: float
    deviation: float | None = None
    settings: dict[str, int] = field(default_factory=dict)
    statistic: Statistic | None = None
    plug_in: float | None = None
    resampled: int | None = None
    trials: int | None = None
    spread: Callable[[int, Steps], float] | None = None
    interval: Interval | None = None
    of_class: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns it as plain values, without what it does not have."""
        found: dict[str, Any] = {"value": self.value, "settings": self.settings}
        if self.deviation is not None:
            found["deviation"] = self.deviation
        if self.interval is not None:
            found["interval"] = list(self.interval)
        if self.of_class is not None:
            found["class"] = self.of_class
        return found


def mean_of(values: Tensor) -> Statistic:
    """Returns the statistic of a number that is the mean of the (N,) values of the evaluated images."""
    return lambda rows: float(values[rows].double().mean())


def add_intervals(scores: dict[str, Score], count: int, repeats: int, steps: Steps = range) -> None:
    """Gives each score its 95% interval, as far as one is known that holds, by resamples of the evaluated images.

    It is about the number of infinitely many evaluated images, or, for recall and coverage, which depend on the count,
    about their mean over samples of as many. The other side is taken as it is, but for reconstructions, which are
    resampled with their originals; their KID, precision, recall, density and coverage get no interval.

    Args:
        scores: what they are of.
        count: of the evaluated images.
        repeats: how many resamples.
        steps: goes through as many steps as it is given, and may show how far it is.
    """
    for name, found in scores.items():
        if name == "fid_infinity" and found.deviation is not None:
            found.interval = normal_interval(found.value, found.deviation)
        elif found.trials is not None:
            found.interval = wilson_interval(round(found.value * found.trials), found.trials)
        elif found.spread is not None:
            # None of all real images or all of them in every subsample: how many then in a sample, nobody knows.
            if (deviation := found.spread(repeats, steps)) > 0:
                low, high = normal_interval(found.value, deviation)
                found.interval = Interval(low, high) if name == "kid" else Interval(max(low, 0.0), min(high, 1.0))
        elif found.statistic is not None:
            rows = found.resampled or count
            of_all = found.value if found.plug_in is None else found.plug_in
            found.interval = bootstrap_interval(of_all, found.statistic, rows, repeats, steps=steps)
