"""Tests whether the scored samples are copies of the model's training images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gen_experiments.commands.evaluating.extraction import features_of
from gen_experiments.commands.evaluating.image_sets import Images, split_images
from gen_experiments.commands.training_data import split_data
from gen_experiments.errors import UserError
from gen_experiments.evaluation.intervals import Score
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.memorisation import CopyTest

OF_COPIES = ("near_copies", "near_copies_p")
SHARE = 0.01  # share of the distances that count as small


def copies(
    checkpoint: Path,
    samples: Tensor,
    reference: Mapping[str, Any],
    reference_features: Tensor | None,
    network: FeatureExtractor,
) -> dict[str, Score]:
    """Returns the share of samples that lie nearer to a training image than 99% of unseen images do, and its p-value.

    The p-value is `metrics.memorisation.nearer_p_value`; the unseen images are those of the run's test split.

    Args:
        checkpoint: the model's checkpoint, in the folder of its run.
        samples: (N, D) features.
        reference: the description of the reference; its features are used if it is the training split.
        reference_features: the features of the reference, if they are known.
        network: the extractor of the features.

    Raises:
        UserError: the run's data cannot be found, or it holds out too few images.
    """
    data = split_data(str(checkpoint), None)
    trained_on, unseen = (split_images(data, split) for split in ("train", "test"))
    if reference_features is not None and trained_on.described["fingerprint"] == reference.get("fingerprint"):
        references = reference_features
    else:
        references = _features(trained_on, network)
    test = CopyTest(references, _features(unseen, network), SHARE)
    found = test.of(test.nearest(samples)[0])
    if found.nearer is None:
        raise UserError("near_copies needs more images to tell copies from chance: evaluate or hold out more")
    settings = {"held_out_images": len(test.held_out), "training_images": len(references)}
    share = Score(float(found.near.double().mean()), settings=settings, trials=len(samples))
    return dict(zip(OF_COPIES, (share, Score(found.nearer, settings=settings)), strict=True))


def _features(images: Images, network: FeatureExtractor) -> Tensor:
    (collected,) = features_of(images, [network], network.device)
    assert collected.features is not None
    return collected.features
