"""The codes of a split as an array on disk, encoded once for all runs with the same encoder."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.data.cache import ImageArray
from gen_experiments.data.footprint import check_room
from gen_experiments.errors import UserError
from gen_experiments.images import to_float
from gen_experiments.storage import CACHE_VARIABLE, cache_root, write_array
from gen_experiments.untrusted.arrays import map_array


def cached_codes(
    images: ImageArray,
    encode: Callable[[Tensor], Tensor],
    *,
    encoder: str,
    length: int,
    num_codes: int,
    device: torch.device,
    mirrored: bool = False,
    batch_size: int = 256,
) -> NDArray[np.int32]:
    """Returns the codes of images from the cache, encoded there the first time. All processes must call it.

    Args:
        images: what to encode.
        encode: (B, C, H, W) float32 images in [-1, 1] on `device` -> (B, L) int64 codes below 2³¹.
        encoder: a hash of everything that `encode` depends on.
        length: L, the codes of an image.
        num_codes: one more than the largest possible code.
        device: where to encode.
        mirrored: encode the images flipped left to right.
        batch_size: images per pass of the encoder.

    Returns:
        (N, L), memory-mapped.

    Raises:
        UserError: the cache cannot be written, or its disk has too little room.
    """
    key = f"{images.fingerprint}-{len(images)}-{encoder}-{mirrored}"
    path = cache_root() / "codes" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
    # One process may have found the file just before another wrote it.
    if not distributed.everywhere(_read(path, len(images), length, num_codes) is not None, device):
        check_room(path.parent, len(images) * length * 4, f"the codes of {len(images)} images")
        codes = _encode(images, encode, device, mirrored, batch_size)
        # Processes on other machines may have their own cache; a second writer does no harm.
        if _read(path, len(images), length, num_codes) is None:
            write_array(path, codes)
        distributed.barrier()
    stored = _read(path, len(images), length, num_codes)
    if stored is None:
        raise UserError(f"{path} cannot be read after it was written: choose another cache by {CACHE_VARIABLE}")
    return stored


def _read(path: Path, images: int, length: int, num_codes: int) -> NDArray[np.int32] | None:
    """Returns the codes in a file, or None if they are missing or of another shape."""
    codes = map_array(path, np.int32, (images, length))
    return codes if codes is not None and 0 <= codes.min() <= codes.max() < num_codes else None


@torch.no_grad()
def _encode(
    images: ImageArray, encode: Callable[[Tensor], Tensor], device: torch.device, mirrored: bool, batch_size: int
) -> NDArray[np.int32]:
    """Returns (N, L) on every process; each encodes a part."""
    own = np.array_split(np.arange(len(images)), distributed.world_size())[distributed.rank()]
    whole: Tensor | None = None
    for start in range(0, len(own), batch_size):
        indices = own[start : start + batch_size]
        batch = to_float(images.kept(indices).to(device))
        codes = encode(batch.flip(-1) if mirrored else batch)
        if whole is None:
            whole = torch.zeros(len(images), codes.shape[1], dtype=torch.int32, device=device)
        whole[torch.from_numpy(indices).to(device)] = codes.int()
    assert whole is not None, "a split has at least as many images as there are processes"
    summed: NDArray[np.int32] = distributed.all_reduce_sum(whole).cpu().numpy()
    return summed
