"""Whether the samples that are scored are copies of the images that their model was trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gen_experiments.commands.inputs import Images, split_images
from gen_experiments.commands.passes import collected_of
from gen_experiments.commands.training_data import training_data
from gen_experiments.errors import UserError
from gen_experiments.evaluation.intervals import Score
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.memorisation import near_copies, nearer_p_value
from gen_experiments.metrics.neighbours import nearest

OF_COPIES = ("near_copies", "near_copies_p")
SHARE = 0.01  # of the distances that count as small


def copies(
    checkpoint: Path,
    samples: Tensor,
    reference: Mapping[str, Any],
    reference_features: Tensor | None,
    network: FeatureExtractor,
) -> dict[str, Score]:
    """Returns the share of samples that lie nearer to a training image than 99% of unseen images do, and its p-value.

    The p-value is that of `metrics.memorisation.nearer_p_value`; unseen are the images of the run's test split.

    Args:
        checkpoint: of the model, in the folder of its run.
        samples: (N, D) features.
        reference: describes what the samples are compared with, whose features serve if it is the training split.
        reference_features: of it, where they are known.
        network: whose features they are.

    Raises:
        UserError: the run's data cannot be found, or it holds out too few images.
    """
    data = training_data(str(checkpoint), None)
    trained_on, unseen = (split_images(data, split) for split in ("train", "test"))
    if reference_features is not None and trained_on.described["fingerprint"] == reference.get("fingerprint"):
        references = reference_features
    else:
        references = _features(trained_on, network)
    distances, baseline = (nearest(rows, references)[0] for rows in (samples, _features(unseen, network)))
    found, _ = near_copies(distances, baseline, SHARE)
    p_value = nearer_p_value(distances, baseline, SHARE)
    if p_value is None:
        raise UserError("near_copies needs more images to tell copies from chance: evaluate or hold out more")
    settings = {"held_out_images": len(baseline), "training_images": len(references)}
    share = Score(float(found.double().mean()), settings=settings, trials=len(found))
    return dict(zip(OF_COPIES, (share, Score(p_value, settings=settings)), strict=True))


def _features(images: Images, network: FeatureExtractor) -> Tensor:
    (collected,) = collected_of(images, [network], network.device)
    assert collected.features is not None
    return collected.features
