"""The metrics of two sets of features, by name."""

import math
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from gen_experiments.errors import UserError
from gen_experiments.evaluation.feature_set import FeatureSet
from gen_experiments.evaluation.intervals import Score, mean_of
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import Moments, frechet_distance, warn_of_few
from gen_experiments.metrics.kernel import inception_score, kid, kid_deviation
from gen_experiments.metrics.modes import missed_by_class, missed_share
from gen_experiments.metrics.neighbours import overlap
from gen_experiments.metrics.overlap_deviation import Deviations, overlap_deviations
from gen_experiments.metrics.sliced import draw_for_mind, sliced_distance
from gen_experiments.metrics.uncertainty import frechet_infinity, images_for_infinity

KID_SUBSETS, KID_SIZE, IS_SPLITS = 100, 1000, 10
DIRECTIONS, NEIGHBOURS, WIDE_NEIGHBOURS = 1000, 3, 5
MIN_IMAGES = dict.fromkeys(("precision", "recall", "density", "coverage"), WIDE_NEIGHBOURS + 1)  # images of either kind
BY_CLASS = ("class_missed",)  # computed with another metric if the images of both sides have labels


def score(
    generated: FeatureSet, real: FeatureSet, extractor: FeatureExtractor, metrics: Sequence[str]
) -> dict[str, Score]:
    """Returns the named metrics, and those of `BY_CLASS` that come with them.

    Args:
        generated: the images to score.
        real: the reference.
        extractor: whose features they are.
        metrics: keys of `METRICS`.

    Raises:
        UserError: a metric needs images instead of statistics, more images or another extractor.
    """
    count = None if generated.features is None else len(generated.features)
    check_extractor(metrics, extractor, count, generated.paired)
    scores: dict[str, Score] = {}
    for name in metrics:
        if name not in scores:
            scores |= METRICS[name](generated, real, extractor)
    return {name: scores[name] for name in (*metrics, *BY_CLASS) if name in scores}


def check_counts(
    metrics: Sequence[str], evaluated: int | None, reference: int | None, option: str = "--metrics"
) -> None:
    """Refuses metrics that need more images than there are, before a network computes features.

    Args:
        metrics: names.
        evaluated: number of evaluated images; None if unknown.
        reference: number of reference images; None if unknown.
        option: of the command line that names the metrics.

    Raises:
        UserError: there are too few.
    """
    for name in metrics:
        counts = (evaluated,) if name == "is" else (evaluated, reference)
        least = IS_SPLITS if name == "is" else MIN_IMAGES.get(name, 2 if name in METRICS else 0)
        if few := [count for count in counts if count is not None and count < least]:
            raise UserError(f"{name} needs {least} images, not {few[0]}: leave it out of {option}, or give more")


def check_extractor(
    metrics: Sequence[str], extractor: FeatureExtractor, evaluated: int | None, paired: bool, option: str = "--metrics"
) -> None:
    """Refuses metrics that these images cannot have by an extractor, before it computes features.

    Args:
        metrics: names.
        extractor: whose features are to be compared, on its device.
        evaluated: number of evaluated images; None if unknown.
        paired: whether they are reconstructions of the reference.
        option: of the command line that names the metrics.

    Raises:
        UserError: an extractor without classes or spatial features, or too few images or reconstructions for FID∞.
    """
    name = type(extractor).__name__
    if "is" in metrics and extractor.classify(torch.zeros(1, extractor.num_features, device=extractor.device)) is None:
        raise UserError(f"is needs an extractor that classifies, which {name} does not: leave it out of {option}")
    if "sfid" in metrics and not extractor.num_spatial:
        raise UserError(f"sfid is by InceptionFeatures with its resizing of tensorflow: leave it out of {option}")
    if "fid_infinity" not in metrics:
        return
    if paired:
        raise UserError(f"fid_infinity is for samples, not for pairs with the reference: leave it out of {option}")
    least = images_for_infinity(extractor.num_features)
    if evaluated is not None and evaluated < least:
        raise UserError(
            f"fid_infinity by {name} needs {least} images, not {evaluated}: leave it out of {option}, or give more"
        )


def computable(generated: FeatureSet, real: FeatureSet, extractor: FeatureExtractor) -> list[str]:
    """Returns the names of the metrics that can be computed."""
    if not extractor.num_features:
        return []
    if generated.features is None or real.features is None:
        return ["fid"]
    # These are computed only by name: fid_infinity needs many images and time, sfid one extractor.
    left_out = {"fid_infinity", "sfid"} | {
        name for name, least in MIN_IMAGES.items() if min(len(generated.features), len(real.features)) < least
    }
    if len(generated.features) < IS_SPLITS or extractor.classify(generated.features[:1].to(extractor.device)) is None:
        left_out.add("is")
    return [name for name in METRICS if name not in left_out]


def _frechet(generated: FeatureSet, real: FeatureSet, extractor: FeatureExtractor) -> dict[str, Score]:
    expected, found = real.divided(real.moments), generated.divided(generated.moments)
    warn_of_few(expected, found)
    value, features = float(frechet_distance(expected, found)), generated.features
    if features is None:
        return {"fid": Score(value)}

    def statistic(rows: Tensor) -> float:
        reference = expected
        if generated.paired and real.features is not None:
            reference = real.divided(Moments.of_features(real.features[rows]))
        return float(frechet_distance(reference, generated.divided(Moments.of_features(features[rows]))))

    return {"fid": Score(value, statistic=statistic)}


def _spatial(generated: FeatureSet, real: FeatureSet, extractor: FeatureExtractor) -> dict[str, Score]:
    if generated.spatial is None or real.spatial is None:
        raise UserError("sfid needs images, or statistics with mu_s and sigma_s: leave it out, or write them by stats")
    return {"sfid": Score(float(frechet_distance(real.divided(real.spatial), generated.divided(generated.spatial))))}


def _extrapolated(generated: FeatureSet, real: FeatureSet, extractor: FeatureExtractor) -> dict[str, Score]:
    if generated.features is None:
        raise UserError("fid_infinity needs the images that are evaluated, not statistics alone: leave it out")
    return {"fid_infinity": Score(*frechet_infinity(real.divided(real.moments), generated.features))}


def _kernel(generated: FeatureSet, real: FeatureSet, extractor: FeatureExtractor) -> dict[str, Score]:
    first, second = _features("kid", generated, real)
    size = min(KID_SIZE, len(first), len(second))
    estimate = kid(first, second, KID_SUBSETS, size)

    def spread() -> float:
        # The random subsets of the same images add a variance of their own.
        return math.hypot(kid_deviation(first, second), estimate.deviation / KID_SUBSETS**0.5)

    settings = {"subsets": KID_SUBSETS, "subset_size": size}
    # Subsets of all images differ only by rounding: their deviation would look like great precision.
    deviation = None if size == len(first) == len(second) else estimate.deviation
    return {"kid": Score(estimate.mean, deviation, settings, spread=None if generated.paired else spread)}


def _classes(generated: FeatureSet, real: FeatureSet, extractor: FeatureExtractor) -> dict[str, Score]:
    features, _ = _features("is", generated, generated)
    logits = extractor.classify(features.to(extractor.device))
    assert logits is not None  # by `check_extractor`
    known = logits.cpu()
    of_splits, of_all = inception_score(known, IS_SPLITS), inception_score(known, 1).mean
    # Splits give scores like published ones, with ten times the bias of all images at once, about b/n; the error of the
    # bootstrap grows with the square of the bias.
    return {"is": Score(*of_splits, {"splits": IS_SPLITS}, lambda rows: inception_score(known[rows], 1).mean, of_all)}


def _overlap(generated: FeatureSet, real: FeatureSet, extractor: FeatureExtractor) -> dict[str, Score]:
    first, second = _features("precision", generated, real)
    shares = overlap(first, second, NEIGHBOURS, WIDE_NEIGHBOURS)
    near, wide = {"neighbours": NEIGHBOURS}, {"neighbours": WIDE_NEIGHBOURS}
    scores = {
        "precision": Score(shares.precision, settings=near, trials=len(shares.inside)),
        "recall": Score(shares.recall, settings=near),
        "density": Score(shares.density, settings=wide, statistic=mean_of(shares.balls / WIDE_NEIGHBOURS)),
        "coverage": Score(shares.coverage, settings=wide),
    }
    if generated.paired:  # the real images' balls change with the sample too
        return {name: Score(one.value, settings=one.settings) for name, one in scores.items()}

    @cache
    def deviations() -> Deviations:
        return overlap_deviations(first, second, NEIGHBOURS, WIDE_NEIGHBOURS)

    scores["recall"].spread = lambda: deviations().recall
    scores["coverage"].spread = lambda: deviations().coverage
    return scores


def _transport(generated: FeatureSet, real: FeatureSet, extractor: FeatureExtractor) -> dict[str, Score]:
    units, first, second = draw_for_mind(*_features("mind", generated, real), DIRECTIONS)

    def statistic(rows: Tensor) -> float:
        return sliced_distance(units, first[rows], second[rows] if generated.paired else second)

    value, settings = sliced_distance(units, first, second), {"directions": DIRECTIONS}
    return {"mind": Score(value, settings=settings, statistic=statistic, resampled=len(first))}


def _missed(generated: FeatureSet, real: FeatureSet, extractor: FeatureExtractor) -> dict[str, Score]:
    first, second = _features("missed", generated, real)
    scores = {"missed": Score(missed_share(first, second))}
    if generated.labels is None or real.labels is None or generated.labels.names != real.labels.names:
        return scores
    names = real.labels.names
    shares = missed_by_class(first, generated.labels.numbers, second, real.labels.numbers, len(names))
    if not (judged := shares.isfinite()).any():
        return scores
    number = int(shares.masked_fill(~judged, -torch.inf).argmax())
    return scores | {"class_missed": Score(float(shares[number]), of_class=names[number])}


METRICS: dict[str, Callable[[FeatureSet, FeatureSet, FeatureExtractor], dict[str, Score]]] = {
    "fid": _frechet,
    "sfid": _spatial,
    "fid_infinity": _extrapolated,
    "kid": _kernel,
    "is": _classes,
    **dict.fromkeys(("precision", "recall", "density", "coverage"), _overlap),
    "mind": _transport,
    "missed": _missed,
}
IN_TRAINING = tuple(name for name in METRICS if name != "sfid")


def _features(metric: str, generated: FeatureSet, real: FeatureSet) -> tuple[Tensor, Tensor]:
    if generated.features is None or real.features is None:
        raise UserError(f"{metric} needs images on both sides, not statistics alone: leave it out or name the images")
    return generated.features, real.features
