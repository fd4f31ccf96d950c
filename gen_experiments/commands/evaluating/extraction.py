"""Chooses the extractors of an evaluation, and passes the images through them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gen_experiments.checkpoints.paths import checkpoint_of, is_exported
from gen_experiments.commands.evaluating.image_sets import SPLITS, Archive, Images, configured_data
from gen_experiments.commands.training_data import extractor_of, names_extractor, run_config
from gen_experiments.errors import UserError
from gen_experiments.evaluation.archives import has_statistics, read_features, read_spatial, read_statistics
from gen_experiments.evaluation.feature_set import FeatureSet, PixelHash, extract_features
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import Moments
from gen_experiments.progress import progress

BATCH = 250  # equal to that of `callbacks.evaluation`, so that sums are equal to the last digit


class _NoFeatures(FeatureExtractor):
    """Stands for an extractor where no metric needs features; private, so that `--extractor` does not offer it."""

    num_features, weights_hash, resize, takes = 0, "", "", (1, 2, 3, 4)

    def extract(self, images: Tensor) -> Tensor:
        """Maps (N, C, H, W) images -> (N, 0)."""
        return torch.empty(len(images), 0, device=images.device)

    def protocol(self) -> dict[str, object]:
        """Returns that there is no extractor."""
        return {"extractor": None, "weights_sha256": None, "resize": None}


def extractor_for(*names: str | None) -> FeatureExtractor:
    """Returns the extractor of the first of these inputs that has a configuration.

    Raises:
        UserError: it names none, or no input has one.
    """
    path = _configuration(names)
    if path is None:
        raise UserError("nothing here says by which features to compare: name an extractor by --extractor")
    return extractor_of(path)


def extractor_needed(names: Sequence[str | None], of_features: bool | None, of_pairs: bool) -> FeatureExtractor:
    """Returns the extractor of `extractor_for`, or one without features if no metric needs them.

    Args:
        names: the inputs.
        of_features: whether a requested metric needs features; None if all metrics that can be computed are wanted.
        of_pairs: whether images are also compared in pairs, which needs no extractor.

    Raises:
        UserError: as for `extractor_for`.
    """
    if of_features is None:
        path = _configuration(names) if of_pairs else None
        of_features = path is None or names_extractor(path)
    return extractor_for(*names) if of_features else _NoFeatures()


def _configuration(names: Sequence[str | None]) -> Path | None:
    """Returns the configuration of the first input that has one."""
    for name in names:
        if name is None or name in SPLITS:
            continue
        checkpoint, configured = checkpoint_of(Path(name)), configured_data(name)
        if checkpoint is not None:
            path = run_config(str(checkpoint), None)
            # An exported model has left its run: what it is compared with may tell.
            if path.is_file() or not is_exported(checkpoint):
                return path
        elif configured is not None:
            return configured[1]
    return None


def features_of(side: Images | Archive, networks: Sequence[FeatureExtractor], device: torch.device) -> list[FeatureSet]:
    """Returns the features of images, or the statistics of an archive, by each extractor.

    All processes of a group must call it; each passes its share of the images.

    Raises:
        UserError: there are fewer than two images, or the statistics are of other features.
    """
    if isinstance(side, Images):
        pixels = PixelHash()
        feature_sets = extract_features(_batches(side, pixels), networks, device, spatial=True)
        sha256 = pixels.hexdigest(device)
        feature_sets = [replace(features, pixels_sha256=sha256) for features in feature_sets]
        if side.archive is not None and has_statistics(side.archive):
            pairs = zip(networks, feature_sets, strict=True)
            feature_sets = [_with_statistics(features, side.archive, network) for network, features in pairs]
        return feature_sets
    return [_read(side, network) for network in networks]


def _read(side: Archive, network: FeatureExtractor) -> FeatureSet:
    if side.kind == "features":
        features = read_features(side.path, network.num_features, network.fingerprint)
        return FeatureSet(Moments.of_features(features), features)
    moments = read_statistics(side.path, network.num_features, network.fingerprint)
    spatial = read_spatial(side.path, network.num_spatial) if network.num_spatial else None
    return FeatureSet(moments, spatial=spatial)


def _with_statistics(features: FeatureSet, path: Path, network: FeatureExtractor) -> FeatureSet:
    """Returns the features with the statistics beside the images of ADM's references, which are of more images."""
    name = type(network).__name__
    if not network.num_spatial:  # they are by Inception
        print(f"the statistics in {path} are passed over: {name} is compared by the images there")
        return features
    print(f"mu and sigma in {path} are taken for FID by {name}, not the images there, as ADM does")
    moments = read_statistics(path, network.num_features, network.fingerprint)
    return replace(features, moments=moments, spatial=read_spatial(path, network.num_spatial))


def _batches(images: Images, pixels: PixelHash) -> Iterator[tuple[Tensor, Tensor]]:
    assert images.count is not None
    for part in progress(images.count, "images", BATCH, shared=True):
        positions, pictures = torch.arange(part.start, part.stop), images.read(part)
        pixels.update(pictures, positions)
        yield positions, pictures
