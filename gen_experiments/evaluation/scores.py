"""The metrics of two sets of features by name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gen_experiments.errors import UserError
from gen_experiments.evaluation.collected import Collected
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import Moments, frechet_distance, warn_of_few
from gen_experiments.metrics.kernel import inception_score, kid
from gen_experiments.metrics.neighbours import overlap
from gen_experiments.metrics.sliced import mind
from gen_experiments.metrics.uncertainty import Interval, bootstrap_interval, frechet_infinity, wilson_interval

KID_SUBSETS, KID_SIZE, IS_SPLITS = 100, 1000, 10
DIRECTIONS, NEIGHBOURS, WIDE_NEIGHBOURS = 1000, 3, 5
# Of two runs the one with the smaller number is the better one; of all other metrics, with the larger.
SMALLER_IS_BETTER = ("fid", "fid_infinity", "kid", "mind", "lpips", "l1", "near_copies", "bits_per_pixel")
Statistic = Callable[[Tensor], float]


@dataclass
class Score:
    """A number and how it came about.

    Attributes:
        value: the number.
        deviation: of KID and IS over subsets of the images; of FID∞ that of the number itself.
        settings: what must be equal for two such numbers to be compared.
        statistic: maps (N,) int64 indices of the evaluated images -> the number of a sample of these; None where images
            that occur twice would spoil it, as they do numbers that rest on nearest neighbours among the evaluated.
        trials: N, where the number is a share of the evaluated images.
        interval: the number's 95% interval, if it was asked for.
    """

    value: float
    deviation: float | None = None
    settings: dict[str, int] = field(default_factory=dict)
    statistic: Statistic | None = None
    trials: int | None = None
    interval: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns it as plain values, without what it does not have."""
        found: dict[str, Any] = {"value": self.value, "settings": self.settings}
        if self.deviation is not None:
            found["deviation"] = self.deviation
        if self.interval is not None:
            found["interval"] = list(self.interval)
        return found


def score(
    generated: Collected, real: Collected, extractor: FeatureExtractor, metrics: Sequence[str]
) -> dict[str, Score]:
    """Returns the metrics that are named, by their names.

    Args:
        generated: what is scored.
        real: what it is compared with.
        extractor: whose features they are.
        metrics: keys of `METRICS`.

    Raises:
        UserError: a metric needs images where only statistics are known, more images, or a classifier.
    """
    found: dict[str, Score] = {}
    for name in metrics:
        if name not in found:
            found |= METRICS[name](generated, real, extractor)
    return {name: found[name] for name in metrics}


def add_intervals(
    scores: dict[str, Score], count: int, repeats: int, steps: Callable[[int], Iterable[object]] = range
) -> None:
    """Gives each score its 95% interval, as far as that can be had, by resamples of the evaluated images.

    Args:
        scores: what they are of.
        count: of the evaluated images.
        repeats: how many resamples.
        steps: goes through as many steps as it is given, and may show how far it is.
    """
    for name, found in scores.items():
        if name == "fid_infinity" and found.deviation is not None:
            found.interval = Interval(found.value - 1.96 * found.deviation, found.value + 1.96 * found.deviation)
        elif found.trials is not None:
            found.interval = wilson_interval(round(found.value * found.trials), found.trials)
        elif found.statistic is not None:
            found.interval = bootstrap_interval(found.value, found.statistic, count, repeats, steps=steps)


def computable(generated: Collected, real: Collected, extractor: FeatureExtractor) -> list[str]:
    """Returns the names of the metrics that what is known allows."""
    if generated.features is None or real.features is None:
        return ["fid"]
    left_out = {"fid_infinity"}  # of few images it cannot be had, of many it takes long: by its name only
    if extractor.classify(generated.features[:1].to(extractor.device)) is None:
        left_out.add("is")
    return [name for name in METRICS if name not in left_out]


def _frechet(generated: Collected, real: Collected, extractor: FeatureExtractor) -> dict[str, Score]:
    warn_of_few(real.moments, generated.moments)
    value, features = float(frechet_distance(real.moments, generated.moments)), generated.features
    if features is None:
        return {"fid": Score(value)}

    def statistic(rows: Tensor) -> float:
        reference = real.moments
        if generated.paired and real.features is not None:
            reference = real.divided(Moments.of_features(real.features[rows]))
        return float(frechet_distance(reference, generated.divided(Moments.of_features(features[rows]))))

    return {"fid": Score(value, statistic=statistic)}


def _extrapolated(generated: Collected, real: Collected, extractor: FeatureExtractor) -> dict[str, Score]:
    if generated.features is None:
        raise UserError("fid_infinity needs the images that are evaluated, not statistics alone: leave it out")
    if generated.paired:
        raise UserError("fid_infinity is for samples, not for reconstructions of the reference: leave it out")
    return {"fid_infinity": Score(*frechet_infinity(real.moments, generated.features))}


def _kernel(generated: Collected, real: Collected, extractor: FeatureExtractor) -> dict[str, Score]:
    first, second = _features("kid", generated, real)
    size = min(KID_SIZE, len(first), len(second))
    return {"kid": Score(*kid(first, second, KID_SUBSETS, size), {"subsets": KID_SUBSETS, "subset_size": size})}


def _classes(generated: Collected, real: Collected, extractor: FeatureExtractor) -> dict[str, Score]:
    features, _ = _features("is", generated, generated)
    logits = extractor.classify(features.to(extractor.device))
    if logits is None:
        raise UserError(
            f"is needs an extractor that classifies, which {type(extractor).__name__} does not: leave it out"
        )
    known = logits.cpu()
    return {
        "is": Score(
            *inception_score(known, IS_SPLITS),
            {"splits": IS_SPLITS},
            lambda rows: inception_score(known[rows], IS_SPLITS).mean,
        )
    }


def _overlap(generated: Collected, real: Collected, extractor: FeatureExtractor) -> dict[str, Score]:
    found = overlap(*_features("precision", generated, real), NEIGHBOURS, WIDE_NEIGHBOURS)
    near, wide = {"neighbours": NEIGHBOURS}, {"neighbours": WIDE_NEIGHBOURS}
    return {
        "precision": Score(found.precision, None, near, trials=len(found.inside)),
        "recall": Score(found.recall, None, near),
        "density": Score(found.density, None, wide, mean_of(found.balls / WIDE_NEIGHBOURS)),
        "coverage": Score(found.coverage, None, wide),
    }


def _transport(generated: Collected, real: Collected, extractor: FeatureExtractor) -> dict[str, Score]:
    first, second = _features("mind", generated, real)
    return {
        "mind": Score(
            mind(first, second, DIRECTIONS),
            None,
            {"directions": DIRECTIONS},
            lambda rows: mind(first[rows], second[rows] if generated.paired else second, DIRECTIONS),
        )
    }


def mean_of(values: Tensor) -> Statistic:
    """Returns the statistic of a number that is the mean of the (N,) values of the evaluated images."""
    return lambda rows: float(values[rows].double().mean())


METRICS: dict[str, Callable[[Collected, Collected, FeatureExtractor], dict[str, Score]]] = {
    "fid": _frechet,
    "fid_infinity": _extrapolated,
    "kid": _kernel,
    "is": _classes,
    **dict.fromkeys(("precision", "recall", "density", "coverage"), _overlap),
    "mind": _transport,
}


def _features(metric: str, generated: Collected, real: Collected) -> tuple[Tensor, Tensor]:
    if generated.features is None or real.features is None:
        raise UserError(f"{metric} needs images on both sides, not statistics alone: leave it out or name the images")
    return generated.features, real.features
