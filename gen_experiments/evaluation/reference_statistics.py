"""The statistics of reference images, computed once and cached on disk."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.errors import UserError
from gen_experiments.evaluation.feature_set import batches_of, extract_features
from gen_experiments.images import ImageSet
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import Moments
from gen_experiments.storage import atomic_write, cache_root


class ReferenceStatistics:
    """The moments of images' features, from memory or from the cache on disk, or computed and cached.

    Args:
        extractor: whose features they are.
    """

    def __init__(self, extractor: FeatureExtractor) -> None:
        self.extractor = extractor
        self._latest: tuple[str, Moments] | None = None

    def moments(
        self, images: ImageSet, batch_size: int, device: torch.device, before_each: Callable[[], None] = lambda: None
    ) -> Moments:
        """Returns the moments of images. All processes must call it; each computes a part.

        Args:
            images: the reference.
            batch_size: images per pass of the extractor.
            device: the extractor's device.
            before_each: called before each pass that all processes have.

        Raises:
            UserError: fewer than two images.
        """
        if len(images) < 2:
            raise UserError(f"FID needs at least two reference images, not {len(images)}: give the split more images")
        name = f"{images.fingerprint}-{len(images)}-{self.extractor.fingerprint}"
        if self._latest is None or self._latest[0] != name:
            path = cache_root() / "statistics" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.safetensors"
            moments = _read(path, self.extractor.num_features)
            # One process may have found the file just before another wrote it.
            if not distributed.everywhere(moments is not None, device) or moments is None:
                batches = batches_of(images, batch_size, before_each)
                moments = extract_features(batches, [self.extractor], device, rows=False)[0].moments
                if distributed.rank() == 0:
                    _write(path, moments)
            self._latest = name, moments
        return self._latest[1]


def _read(path: Path, dim: int) -> Moments | None:
    """Returns the moments in a file, or None if there are none of this dimension."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError):
        return None
    shapes = {"mean": (dim,), "covariance": (dim, dim), "count": ()}
    if {name: (tuple(value.shape), value.dtype) for name, value in tensors.items()} != {
        name: (shape, torch.float64 if shape else torch.int64) for name, shape in shapes.items()
    }:
        return None
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        return None
    return Moments(tensors["mean"], tensors["covariance"], int(tensors["count"]))


def _write(path: Path, moments: Moments) -> None:
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {
        "mean": moments.mean,
        "covariance": moments.covariance.contiguous(),
        "count": torch.tensor(moments.count),
    }
    # Not by `save_file`, whose error on a full disk names no reason.
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors))
