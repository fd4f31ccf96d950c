"""`stats`: writes the statistics of images in a file that other tools can read."""

from pathlib import Path

import torch

from gen_experiments.commands.devices import chosen_device
from gen_experiments.commands.evaluating.extraction import extractor_for, features_of
from gen_experiments.commands.evaluating.image_sets import Archive
from gen_experiments.commands.evaluating.named_inputs import images_of, open_input
from gen_experiments.errors import UserError, check_interval
from gen_experiments.evaluation.archives import write_features, write_statistics
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.runs.job import is_first_process
from gen_experiments.storage import prepare_file


@torch.inference_mode()
def stats(
    images: str,
    out: str,
    num: int = 10_000,
    seed: int = 0,
    extractor: FeatureExtractor | None = None,
    features: bool = False,
    spatial: bool = False,
    device: str = "auto",
) -> None:
    """Writes the statistics of images, `mu` and `sigma`, as clean-fid, EDM and ADM read and write them.

    With --features it writes all features, `reps`, as dgm-eval does; metrics other than FID need them.

    Args:
        images: a checkpoint, a run, a folder of pictures, a data configuration or an .npz file of samples.
        out: the .npz file.
        num: the number of images that a model generates.
        seed: the seed of a model's samples.
        extractor: the feature extractor; by default that of the run or of the data configuration.
        features: whether to write all features instead of their moments.
        spatial: whether to write also `mu_s` and `sigma_s`, which ADM's sFID compares; by InceptionFeatures only.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: an input cannot be used, a number is out of range, or `out` cannot be written or does not end in
            .npz.
    """
    check_interval("[2, inf)", num=num)
    check_interval("[0, inf)", seed=seed)
    if Path(out).suffix != ".npz":
        raise UserError(f"statistics are written to a file that ends in .npz, not to {out}")
    prepare_file(Path(out))
    place = chosen_device(device)
    network = (extractor or extractor_for(images)).to(place)
    side = images_of(open_input(images, place), None, num, seed)
    if isinstance(side, Archive):
        raise UserError(f"{images} holds {side.kind} already")
    network.fits(side.content, "--extractor")
    if spatial and (features or not network.num_spatial):
        raise UserError("--spatial is for moments by InceptionFeatures, resizing as tensorflow: leave it out here")
    (collected,) = features_of(side, [network], place)
    if not is_first_process():
        return
    if features and collected.features is not None:
        write_features(Path(out), collected.features, network.fingerprint)
    else:
        write_statistics(Path(out), collected.moments, network.fingerprint, collected.spatial if spatial else None)
    written = "the features" if features else "mu, sigma, mu_s and sigma_s" if spatial else "mu and sigma"
    print(f"wrote {written} of {collected.moments.count} images by {type(network).__name__} to {out}")
