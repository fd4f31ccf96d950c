"""`encode` and `decode`: a VQ-VAE as a compressor of pictures."""

import math
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from gen_experiments.commands.pictures import read_images, write_images
from gen_experiments.errors import UserError
from gen_experiments.images import to_float, to_uint8
from gen_experiments.metrics.codebook import perplexity
from gen_experiments.models.checkpoints import load_model
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.storage import atomic_write

BATCH = 64


@torch.inference_mode()
def encode(checkpoint: str, images: str, out: str = "codes.npz") -> None:
    """Writes the codes of a folder's pictures, from which `decode` makes them anew, and prints the bits per pixel.

    Printed are log₂ K bits a code, which a file of fixed-length codes takes, and the entropy of the codes, which is
    what an ideal coder would take that knows how often each occurs and nothing else.

    Args:
        checkpoint: a checkpoint of a VQ-VAE.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: the file: a NumPy archive with `codes`, (N, h, w) or (N, depth, h, w) integers.

    Raises:
        UserError: the checkpoint or the folder cannot be used, or `out` cannot be written.
    """
    model = load_model(checkpoint, VQVAE, "encode")
    assert isinstance(model, VQVAE)
    originals = read_images(images, model.image)
    codes = torch.cat([model.encode(to_float(part)) for part in originals.split(BATCH)])
    size = model.quantizer.codebook_size
    path = Path(out)
    try:
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, codes=codes.numpy().astype(np.min_scalar_type(size - 1)))
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from error
    codes_per_pixel = codes[0].numel() / model.image.size**2
    entropy = math.log2(float(perplexity(torch.bincount(codes.flatten(), minlength=size))))
    print(
        f"{codes_per_pixel * math.log2(size):.4g} bits per pixel ({codes[0].numel()} codes of {size} for an image); "
        f"{codes_per_pixel * entropy:.4g} by the entropy of the codes"
    )
    print(f"wrote the codes of {len(codes)} images to {out}, {path.stat().st_size} bytes")


@torch.inference_mode()
def decode(checkpoint: str, codes: str, out: str = "decoded.png") -> None:
    """Makes pictures from the codes that `encode` wrote.

    Args:
        checkpoint: the checkpoint that encoded them.
        codes: the file of codes.
        out: an image file for one grid; a folder for one file an image.

    Raises:
        UserError: the checkpoint cannot be used, the file holds no codes of this model, or `out` cannot be written.
    """
    model = load_model(checkpoint, VQVAE, "decode")
    assert isinstance(model, VQVAE)
    try:
        with np.load(codes, allow_pickle=False) as archive:
            indices = torch.from_numpy(archive["codes"].astype(np.int64))
            if not len(indices):
                raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadZipFile) as error:
        raise UserError(f"{codes} holds no codes: name a file that `encode` wrote") from error
    shape, size = model.encode(torch.zeros(1, *model.image.shape)).shape[1:], model.quantizer.codebook_size
    if indices.shape[1:] != shape or not 0 <= int(indices.min()) <= int(indices.max()) < size:
        raise UserError(
            f"{codes} holds codes up to {int(indices.max())} of shape {tuple(indices.shape[1:])} an image; "
            f"this model has {size} of shape {tuple(shape)}: name the checkpoint that encoded them"
        )
    images = torch.cat([to_uint8(model.decode(part)) for part in indices.split(BATCH)])
    write_images(images, out)
    print(f"wrote {len(images)} images to {out}")
