"""`memorisation`: whether a checkpoint's samples are copies of its training images."""

import numpy as np
import torch
from torch import Tensor

from gen_experiments.callbacks.protocols import Samples
from gen_experiments.commands.progress import progress
from gen_experiments.commands.training_data import training_data
from gen_experiments.errors import check_interval
from gen_experiments.images import ImageSet, pairs_in_rows, to_uint8
from gen_experiments.metrics.features import DigitsFeatures, FeatureExtractor
from gen_experiments.metrics.memorisation import near_copies, nearest, wilson_interval
from gen_experiments.models.checkpoints import load_model
from gen_experiments.sheets import listed, save_grid

BATCH, COLUMNS, SHOWN = 250, 8, 32


@torch.inference_mode()
def memorisation(
    checkpoint: str,
    num: int = 1000,
    out: str = "nearest.png",
    seed: int = 0,
    share: float = 0.01,
    extractor: FeatureExtractor | None = None,
    config: str | None = None,
) -> None:
    """Counts generated images that lie suspiciously near to a training image; writes the nearest above those images.

    Near is nearer, in the extractor's features, than all but a share of real images that were not trained on (the test
    split). A generator that copies nothing has about that share too.

    Args:
        checkpoint: a checkpoint of a model that generates, in the folder of its run.
        num: how many images to generate.
        out: an image file: the generated images nearest to a training image, each above that image.
        seed: names the sequence of images.
        share: of the held-out images that count as near; in (0, 1).
        extractor: whose features are compared; None for DigitsFeatures, which knows digits only.
        config: the run's config.yaml, if it is not in the run's folder.

    Raises:
        UserError: the checkpoint or the data cannot be used, a number is out of range, or `out` cannot be written.
    """
    check_interval("[1, inf)", num=num)
    check_interval("[0, inf)", seed=seed)
    check_interval("(0, 1)", share=share)
    model = load_model(checkpoint, Samples, "sample")
    assert isinstance(model, Samples)
    data = training_data(checkpoint, config)
    network = extractor or DigitsFeatures()
    trained_on, held_out = data.split("train"), data.split("test")
    references = _features(trained_on, network)
    baseline, _ = nearest(_features(held_out, network), references)
    parts = []
    shown, shown_distances, shown_indices = torch.empty(0), torch.empty(0), torch.empty(0, dtype=torch.int64)
    for sampled in progress(num, "images", BATCH):
        generated = to_uint8(model.sample(sampled.start, len(sampled), seed))
        found, found_indices = nearest(network(generated), references)
        parts.append(found)
        # Of all images only the nearest are kept.
        all_distances = torch.cat([shown_distances, found])
        order = all_distances.argsort(stable=True)[:SHOWN]
        shown = (torch.cat([shown, generated]) if len(shown) else generated)[order]
        shown_distances, shown_indices = all_distances[order], torch.cat([shown_indices, found_indices])[order]
    distances = torch.cat(parts)
    copies = int(near_copies(distances, baseline, share).sum())
    low, high = wilson_interval(copies, num)
    originals = trained_on.read(shown_indices.numpy())
    out = listed(save_grid(pairs_in_rows(shown, originals, COLUMNS), out, COLUMNS, together=2))
    print(
        f"near-copies: {copies / num:.2%} of {num} generated images (95% confidence {low:.2%} to {high:.2%}); "
        f"{share:.2%} of {len(held_out)} held-out images by construction"
    )
    print(f"median distance to the nearest training image: {distances.median():.4g}, held-out {baseline.median():.4g}")
    print("more than unseen images would be: look at the picture" if low > share else "no more than unseen images are")
    print(f"wrote the {len(shown)} nearest, each above its training image, to {out}")


def _features(images: ImageSet, network: FeatureExtractor) -> Tensor:
    parts = np.array_split(np.arange(len(images)), max(1, len(images) // BATCH))
    return torch.cat([network(images.read(part)) for part in parts])
