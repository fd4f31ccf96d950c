"""Writes pictures made from those of a folder: by their names in another folder, or as a grid."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gen_experiments.commands.image_files import is_image_file, prepare_output, read_images
from gen_experiments.commands.reading import Reading, eight_bits
from gen_experiments.commands.tiles import apply_in_tiles
from gen_experiments.data.folder import find_pictures
from gen_experiments.errors import UserError
from gen_experiments.grids import in_rows, page_names, save_grid
from gen_experiments.images import ImageSpec, save_image, to_float, to_uint8
from gen_experiments.progress import progress

BATCH, COLUMNS, SHOWN = 32, 8, 256

Network = Callable[[Tensor], Tensor]
"""Maps (B, C, H, W) in [-1, 1] -> the same shape."""


def on_device(network: Network, device: torch.device) -> Network:
    """Wraps a network on a device so that it takes and returns tensors on the CPU."""
    return lambda images: network(images.to(device)).cpu()


def write_outputs(network: Network, folder: str, spec: ImageSpec, reading: Reading, out: str, whole: bool) -> None:
    """Applies a network to the pictures of a folder, and writes the results.

    Args:
        network: takes and returns tensors on the CPU.
        folder: the folder of the pictures.
        spec: the shape of the network's images.
        reading: how the pictures are read.
        out: a folder or, for a grid, an image file.
        whole: whether the pictures keep their size and are processed in tiles.

    Raises:
        UserError: the folder cannot be used, or `out` cannot be written or is a picture where `whole` needs a folder.
    """
    if not whole:
        names, originals = read_images(folder, spec, reading)
        check_names(names, folder, out)
        write_by_name(names, originals, apply_network(network, originals), out, "images")
        return
    if is_image_file(out):
        raise UserError("--whole writes pictures as large as they are: name a folder by --out")
    files, _ = find_pictures(Path(folder), reading.suffixes)
    names = [file.relative_to(folder) for file in files]
    check_names(names, folder, out)
    for (number,) in progress(len(files), "images"):
        picture = to_float(reading.kept(files[number], None, spec.channels))
        save_image(to_uint8(apply_in_tiles(network, picture, spec.size)), _path(out, names[number]))
    print(f"wrote {len(files)} images, as large as they were, to {out}")


def apply_network(network: Network, originals: Tensor) -> Tensor:
    """Applies a network to (N, C, H, W) uint8 or uint16 pictures; returns the same shape in uint8."""
    parts = [originals[part.start : part.stop] for part in progress(len(originals), "images", BATCH)]
    return torch.cat([to_uint8(network(to_float(part))) for part in parts])


def write_rows(rows: Sequence[Tensor], out: str, what: str) -> None:
    """Writes pictures as a grid, each above its others."""
    shown = in_rows(*(eight_bits(row[:SHOWN]) for row in rows), columns=COLUMNS)
    pages = page_names(save_grid(shown, out, COLUMNS, together=len(rows)))
    print(f"wrote {len(rows[0][:SHOWN])} {what} to {pages}")


def write_by_name(names: list[Path], originals: Tensor, outputs: Tensor, out: str, what: str) -> None:
    """Writes pictures by the names of their originals, which `check_names` has accepted, or as a grid below them."""
    if is_image_file(out):
        write_rows([originals, outputs], out, f"{what} below their originals")
        return
    for name, picture in zip(names, outputs, strict=True):
        save_image(picture, _path(out, name))
    print(f"wrote {len(outputs)} {what} to {out}")


def check_names(names: list[Path], folder: str, out: str) -> None:
    """Makes sure, before a model computes, that pictures can be written to `out`.

    Args:
        names: the names of the originals, paths below `folder`.
        folder: the folder of the originals.
        out: a folder, for pictures of the same names, or an image file.

    Raises:
        UserError: an original or another picture would be overwritten, or `out` cannot be written.
    """
    if is_image_file(out):
        prepare_output(out)
        return
    if not out:
        raise UserError("--out is empty: name a folder or an image file")
    paths = [_path(out, name) for name in names]
    originals = {(Path(folder) / name).resolve() for name in names}
    if Path(out).resolve() == Path(folder).resolve() or not originals.isdisjoint(path.resolve() for path in paths):
        raise UserError(f"{out} holds originals, which would be overwritten: name another folder by --out")
    taken: set[Path] = set()
    for path in paths:
        if path in taken:
            raise UserError(f"two pictures would both be written to {path}: rename one of their originals")
        taken.add(path)
    prepare_output(out)


def _path(out: str, name: Path) -> Path:
    return Path(out) / name.with_suffix(".png")
