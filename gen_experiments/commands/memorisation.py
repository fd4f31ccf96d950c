"""`memorisation`: tests whether a model's samples are copies of its training images."""

import numpy as np
import torch

from gen_experiments.callbacks.protocols import Samples
from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.image_files import check_image_file
from gen_experiments.commands.training_data import extractor_of, run_config, split_data
from gen_experiments.errors import check_interval
from gen_experiments.grids import in_rows, page_names, save_grid
from gen_experiments.images import to_uint8
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.memorisation import ALPHA, CopyTest
from gen_experiments.progress import progress

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
    device: str = "auto",
) -> None:
    """Tests whether generated images lie nearer to training images than unseen ones do; writes the nearest above those.

    Distances are between features. The unseen images are those of the test split. The test is exact for any numbers of
    images, with 2.5% false positives. A negative result proves nothing, least of all if generated images do not
    resemble the data, which is tested too.

    Args:
        checkpoint: a checkpoint of a model that generates, in the folder of its run.
        num: the number of generated images.
        out: an image file: the generated images nearest to a training image, each above that image.
        seed: the seed of the images.
        share: the share of the distances that count as small; in (0, 1).
        extractor: the feature extractor; None for that of the run.
        config: the run's config.yaml, if it is not in the run's folder.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint or the data cannot be used, there is no extractor or it is not for these images, a
            number is out of range, or `out` cannot be written.
    """
    check_interval("[1, inf)", num=num)
    check_interval("[0, inf)", seed=seed)
    check_interval("(0, 1)", share=share)
    check_image_file(out)
    model = load_on_device(checkpoint, Samples, "sample", device)
    data = split_data(checkpoint, config)
    network = (extractor or extractor_of(run_config(checkpoint, config))).to(model.device)
    suffix = "" if network.fits(data.source.content, "--extractor") else f", which knows {network.content} only"
    trained_on, held_out = data.split("train"), data.split("test")
    references, unseen = (
        network.features_of(images, np.arange(len(images)), BATCH) for images in (trained_on, held_out)
    )
    test = CopyTest(references, unseen, share)
    parts = []
    shown, shown_distances, shown_indices = torch.empty(0), torch.empty(0), torch.empty(0, dtype=torch.int64)
    for sampled in progress(num, "images", BATCH):
        generated = to_uint8(model.sample(sampled.start, len(sampled), seed))
        part_distances, part_indices = test.nearest(network(generated))
        parts.append(part_distances)
        # Of all images only the nearest are kept.
        all_distances = torch.cat([shown_distances, part_distances])
        order = all_distances.argsort(stable=True)[:SHOWN]
        shown = (torch.cat([shown, generated.cpu()]) if len(shown) else generated.cpu())[order]
        shown_distances, shown_indices = all_distances[order], torch.cat([shown_indices, part_indices])[order]
    distances = torch.cat(parts)
    found, baseline = test.of(distances), test.held_out
    originals = trained_on.read(shown_indices.numpy())
    out = page_names(save_grid(in_rows(shown, originals, columns=COLUMNS), out, COLUMNS, together=2))
    print(f"distances between features of {type(network).__name__}{suffix}")
    print(
        f"near-copies: {found.near.double().mean():.2%} of {num} generated images; {found.expected:.2%} are expected "
        f"of unseen images, by the {len(held_out)} held-out ones"
    )
    print(f"median distance to the nearest training image: {distances.median():.4g}, held-out {baseline.median():.4g}")
    print(verdict(found.nearer, found.farther))
    print(f"wrote the {len(shown)} nearest, each above its training image, to {out}")


def verdict(nearer: float | None, farther: float) -> str:
    """Returns the results of the two exact tests as text."""
    if nearer is None:
        return "too few images to tell copies from chance: generate or hold out more"
    if nearer <= ALPHA:
        return f"generated images lie nearer to training images than unseen ones do (p = {nearer:.2g}): see the picture"
    text = f"no sign of copies (p = {nearer:.2g}), which does not prove that there are none"
    if farther <= ALPHA:
        return f"{text}: generated images lie farther from training images than unseen ones do (p = {farther:.2g})"
    return text
