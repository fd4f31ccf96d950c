"""Writes pictures made from those of a folder: by their names in another folder, or as a grid."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gen_experiments.commands.image_files import found_pictures, is_image_file, prepare_output, read_in_batches
from gen_experiments.commands.reading import Reading, eight_bits
from gen_experiments.commands.tiles import apply_in_tiles
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
        names, batches = read_batches(folder, spec, reading, [out], first=SHOWN)
        write_batches(names, ((part, applied(network, part)) for part in batches), [out], "images")
        return
    if is_image_file(out):
        raise UserError("--whole writes pictures as large as they are: name a folder by --out")
    files, names = found_pictures(folder, reading)
    check_names(names, folder, out)
    for (number,) in progress(len(files), "images"):
        picture = to_float(reading.kept(files[number], None, spec.channels))
        save_image(to_uint8(apply_in_tiles(network, picture, spec.size)), _path(out, names[number]))
    print(f"wrote {len(files)} images, as large as they were, to {out}")


def applied(network: Network, originals: Tensor) -> Tensor:
    """Applies a network to (B, C, H, W) uint8 or uint16 pictures; returns the same shape in uint8."""
    return to_uint8(network(to_float(originals)))


def places_of(out: str, proposals: int) -> list[str]:
    """Returns where several proposals for each picture are written: a grid, a folder, or a folder for each proposal."""
    if is_image_file(out) or proposals == 1:
        return [out]
    return [str(Path(out) / f"proposal_{number}") for number in range(1, proposals + 1)]


def read_batches(
    folder: str, spec: ImageSpec, reading: Reading, places: Sequence[str], first: int | None = None
) -> tuple[list[Path], Iterator[Tensor]]:
    """Finds the pictures of a folder, which may be more than fit into memory, and reads them batch by batch.

    Args:
        folder: the folder.
        spec: the shape of the pictures, to which they are cropped and resized.
        reading: how they are read.
        places: where pictures made from them are to be written by their names: folders, or one image file for a grid.
        first: how many pictures a grid is made of; by default all are read for it too.

    Returns:
        The names, sorted paths below the folder, and (B, C, H, W) uint8 or uint16 pictures, with their progress.

    Raises:
        UserError: the folder is missing or empty, or a place cannot be written; while reading, a picture cannot be
            decoded.
    """
    files, names = found_pictures(folder, reading)
    if is_image_file(places[0]):
        files, names = files[:first], names[:first]
    for place in places:
        check_names(names, folder, place)
    return names, read_in_batches(files, spec, reading, BATCH)


def write_batches(
    names: Sequence[Path],
    batches: Iterable[Sequence[Tensor]],
    places: Sequence[str],
    what: str,
    rows: str | None = None,
) -> None:
    """Writes pictures made from others as they come: by the names of their originals, or the first ones as a grid.

    Args:
        names: those of the originals, which `check_names` has accepted.
        batches: of each the originals and what was made of them, (B, C, H, W) each.
        places: a folder for each kind that was made, or one image file for a grid of all.
        what: the name of what was made.
        rows: what the grid shows; by default the pictures below their originals.
    """
    if is_image_file(places[0]):
        write_rows(first_of(batches), places[0], rows or f"{what} below their originals")
        return
    remaining = iter(names)
    for _, *made in batches:
        for *pictures, name in zip(*made, remaining, strict=False):  # the names of later batches remain
            for picture, place in zip(pictures, places, strict=True):
                save_image(picture, _path(place, name))
    for place in places:
        print(f"wrote {len(names)} {what} to {place}")


def first_of(batches: Iterable[Sequence[Tensor]]) -> list[Tensor]:
    """Goes through batches of several parts; returns the first pictures of each part that a grid shows, in uint8."""
    kept: list[Sequence[Tensor]] = []
    for batch in batches:
        if len(kept) * BATCH < SHOWN:
            kept.append([eight_bits(part) for part in batch])
    return [torch.cat(parts)[:SHOWN] for parts in zip(*kept, strict=True)]


def write_rows(rows: Sequence[Tensor], out: str, what: str) -> None:
    """Writes (N, C, H, W) uint8 pictures, each above its others, as a grid."""
    pages = page_names(save_grid(in_rows(*rows, columns=COLUMNS), out, COLUMNS, together=len(rows)))
    print(f"wrote {len(rows[0])} {what} to {pages}")


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
