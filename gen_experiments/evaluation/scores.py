"""The metrics of two sets of features by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from gen_experiments.errors import UserError
from gen_experiments.evaluation.collected import Collected
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import frechet_distance, warn_of_few
from gen_experiments.metrics.kernel import inception_score, kid
from gen_experiments.metrics.neighbours import overlap
from gen_experiments.metrics.sliced import mind

KID_SUBSETS, KID_SIZE, IS_SPLITS = 100, 1000, 10
DIRECTIONS, NEIGHBOURS, WIDE_NEIGHBOURS = 1000, 3, 5


@dataclass
class Score:
    """A number and how it came about.

    Attributes:
        value: the number.
        deviation: over subsets, where there are some.
        settings: what must be equal for two such numbers to be compared.
    """

    value: float
    deviation: float | None = None
    settings: dict[str, int] = field(default_factory=dict)


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


def computable(generated: Collected, real: Collected, extractor: FeatureExtractor) -> list[str]:
    """Returns the names of the metrics that what is known allows."""
    if generated.features is None or real.features is None:
        return ["fid"]
    classifies = extractor.classify(generated.features[:1].to(_device(extractor))) is not None
    return [name for name in METRICS if name != "is" or classifies]


def _frechet(generated: Collected, real: Collected, extractor: FeatureExtractor) -> dict[str, Score]:
    warn_of_few(real.moments, generated.moments)
    return {"fid": Score(float(frechet_distance(real.moments, generated.moments)))}


def _kernel(generated: Collected, real: Collected, extractor: FeatureExtractor) -> dict[str, Score]:
    first, second = _features("kid", generated, real)
    size = min(KID_SIZE, len(first), len(second))
    return {"kid": Score(*kid(first, second, KID_SUBSETS, size), {"subsets": KID_SUBSETS, "subset_size": size})}


def _classes(generated: Collected, real: Collected, extractor: FeatureExtractor) -> dict[str, Score]:
    features, _ = _features("is", generated, generated)
    logits = extractor.classify(features.to(_device(extractor)))
    if logits is None:
        raise UserError(
            f"is needs an extractor that classifies, which {type(extractor).__name__} does not: leave it out"
        )
    return {"is": Score(*inception_score(logits, IS_SPLITS), {"splits": IS_SPLITS})}


def _overlap(generated: Collected, real: Collected, extractor: FeatureExtractor) -> dict[str, Score]:
    found = overlap(*_features("precision", generated, real), NEIGHBOURS, WIDE_NEIGHBOURS)
    near, wide = {"neighbours": NEIGHBOURS}, {"neighbours": WIDE_NEIGHBOURS}
    return {
        "precision": Score(found.precision, None, near),
        "recall": Score(found.recall, None, near),
        "density": Score(found.density, None, wide),
        "coverage": Score(found.coverage, None, wide),
    }


def _transport(generated: Collected, real: Collected, extractor: FeatureExtractor) -> dict[str, Score]:
    return {"mind": Score(mind(*_features("mind", generated, real), DIRECTIONS), None, {"directions": DIRECTIONS})}


METRICS: dict[str, Callable[[Collected, Collected, FeatureExtractor], dict[str, Score]]] = {
    "fid": _frechet,
    "kid": _kernel,
    "is": _classes,
    **dict.fromkeys(("precision", "recall", "density", "coverage"), _overlap),
    "mind": _transport,
}


def _features(metric: str, generated: Collected, real: Collected) -> tuple[Tensor, Tensor]:
    if generated.features is None or real.features is None:
        raise UserError(f"{metric} needs images on both sides, not statistics alone: leave it out or name the images")
    return generated.features, real.features


def _device(extractor: FeatureExtractor) -> str:
    return next((str(weight.device) for weight in extractor.parameters()), "cpu")
