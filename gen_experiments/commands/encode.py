"""`encode` and `decode`: a VQ-VAE as a compressor of pictures."""

import math
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.image_files import (
    checked_pictures,
    is_image_file,
    prepare_output,
    read_in_batches,
    write_images,
)
from gen_experiments.commands.reading import reading_of
from gen_experiments.errors import UserError, quoted
from gen_experiments.images import ImageSpec, to_float, to_uint8
from gen_experiments.metrics.codebook import entropy_bits
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.storage import atomic_write, check_empty, prepare_file
from gen_experiments.untrusted.arrays import read_archive
from gen_experiments.untrusted.unreadable import Unreadable

BATCH = 64
# Decoded images wait in memory until they are written.
MAX_BYTES = 4 << 30


@torch.inference_mode()
def encode(checkpoint: str, images: str, out: str = "codes.npz", device: str = "auto") -> None:
    """Writes the codes of a folder's pictures, which `decode` turns back into pictures, and prints the bits per pixel.

    It prints log₂ K bits per code, the size with codes of fixed length, and the entropy of the codes: the size by an
    ideal coder that knows only the frequency of each code at each level.

    Args:
        checkpoint: a checkpoint of a VQ-VAE.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: the file: a NumPy archive with `codes`, (N, h, w) integers in [0, codebook_size), (N, depth, h, w) of a
            residual quantizer or (N, L) of a hierarchy; `codebook_size`; `grids`, (levels, 2), the height and width of
            each level's codes, in their order; `files`, (N,) paths below the folder; and, where all pictures lie in
            folders of classes, `labels`, (N,) numbers of `class_names`, which are the model's where it knows them all.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint or the folder cannot be used, or `out` cannot be written.
    """
    path = Path(out)
    prepare_file(path)
    reading = reading_of(checkpoint)
    paths, files = checked_pictures(images, reading)
    model = load_on_device(checkpoint, VQVAE, "encode", device)
    originals = read_in_batches(paths, model.image, reading, BATCH)
    codes = torch.cat([model.encode(to_float(part.to(model.device))).cpu() for part in originals])
    size = model.quantizer.codebook_size
    arrays: dict[str, Any] = {
        "codes": codes.numpy().astype(np.min_scalar_type(size - 1)),
        "codebook_size": np.int64(size),
        "grids": np.array(model.code_grids, dtype=np.int64),
        "files": np.array([name.as_posix() for name in files]),
        **_classes(files, model.image),
    }
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    pixels = model.image.height * model.image.width
    by_level = [bits / pixels for bits in entropy_bits(codes, model.code_grids)]
    levels = f" of each level ({' + '.join(f'{bits:.4g}' for bits in by_level)})" if len(by_level) > 1 else ""
    print(
        f"{codes[0].numel() / pixels * math.log2(size):.4g} bits per pixel "
        f"({codes[0].numel()} codes of {size} for an image); "
        f"{sum(by_level):.4g} by the entropy of the codes{levels}"
    )
    print(f"wrote the codes of {len(codes)} images to {out}, {path.stat().st_size} bytes")


def _classes(files: list[Path], image: ImageSpec) -> dict[str, NDArray[Any]]:
    """Returns the labels of pictures and the names of the classes; empty if some lie in no folder of a class."""
    if any(len(file.parts) == 1 for file in files):
        return {}
    folders = [file.parts[0] for file in files]
    known = image.class_labels
    names = known if set(folders) <= set(known) else tuple(sorted(set(folders)))
    labels = np.array([names.index(name) for name in folders], dtype=np.int64)
    return {"labels": labels, "class_names": np.array(names)}


@torch.inference_mode()
def decode(checkpoint: str, codes: str, out: str = "decoded.png", device: str = "auto") -> None:
    """Makes pictures from the codes that `encode` wrote.

    Args:
        checkpoint: the checkpoint that encoded them.
        codes: the file of codes.
        out: an image file for one grid; a folder for PNG files by the names of the encoded pictures, or a new or empty
            one for files by numbers where there are no names or two pictures would have the same.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint cannot be used, the file holds no codes of this model, or `out` cannot be written or
            holds a file of such a name.
    """
    model = load_on_device(checkpoint, VQVAE, "decode", device)
    shape, size = (
        model.encode(torch.zeros(1, *model.image.shape, device=model.device)).shape[1:],
        model.quantizer.codebook_size,
    )
    try:
        indices = read_archive(codes, "codes", "ui", tuple(shape))
    except Unreadable as error:
        raise UserError(
            f"{codes} holds no codes of this model ({error}): name a file that `encode` wrote, and its checkpoint"
        ) from error
    if not 0 <= int(indices.min()) <= int(indices.max()) < size:
        raise UserError(
            f"{codes} holds codes up to {int(indices.max())}; this model has {size}: name the checkpoint that made them"
        )
    if len(indices) * math.prod(model.image.shape) > MAX_BYTES:
        raise UserError(f"{codes} holds {len(indices)} images, more than {MAX_BYTES >> 30} GiB: encode them in parts")
    names = None if is_image_file(out) else _new_names(codes, len(indices), out)
    if names is None and not is_image_file(out):
        check_empty(Path(out))  # numbers would be mixed with earlier ones
    prepare_output(out)
    parts = (torch.from_numpy(indices[i : i + BATCH].astype(np.int64)) for i in range(0, len(indices), BATCH))
    images = torch.cat([to_uint8(model.decode(part.to(model.device))).cpu() for part in parts])
    write_images(images, out, names)
    print(f"wrote {len(images)} images to {out}")


def _new_names(codes: str, count: int, out: str) -> list[str] | None:
    """Returns the names of the files to write for the pictures of a file of codes; None for numbers.

    Raises:
        UserError: a name leads out of the folder, or there is such a file in it, perhaps an original.
    """
    try:
        files = [PurePosixPath(name) for name in read_archive(codes, "files", "U", ()).tolist()]
    except Unreadable:
        return None  # another program may leave them out
    for file in files:
        if file.is_absolute() or ".." in file.parts or not file.name or "\0" in file.name:
            raise UserError(f"{codes} names a picture {quoted(file)}, which is no path below a folder: encode again")
    names = [str(file.with_suffix(".png")) for file in files]
    if len(names) != count or len(set(names)) < count:
        return None
    for name in names:
        if (Path(out) / name).exists():
            raise UserError(f"{out} holds {quoted(name)} already: name a new folder by --out")
    return names
