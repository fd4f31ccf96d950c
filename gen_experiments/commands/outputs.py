"""Writes pictures made from those of a folder: by their names in another folder, or as a grid."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from gen_experiments.commands.image_files import checked_pictures, is_image_file, prepare_output, read_in_batches
from gen_experiments.commands.reading import Reading, eight_bits
from gen_experiments.commands.tiles import apply_in_tiles
from gen_experiments.errors import UserError
from gen_experiments.grids import in_rows, page_names, save_grid
from gen_experiments.images import ImageSpec, save_image, to_float, to_uint8
from gen_experiments.progress import counting, progress

BATCH, ON_PROCESSOR, COLUMNS, SHOWN = 32, 4, 8, 256

Network = Callable[[Tensor], Tensor]
"""Maps (B, C, H, W) in [-1, 1] -> the same shape."""

Originals = tuple[list[Path], list[Path]]
"""Pictures and their names: paths below a folder."""

Originated = TypeVar("Originated")


def on_device(network: Network, device: torch.device) -> Network:
    """Wraps a network on a device so that it takes and returns tensors on the CPU."""
    return lambda images: network(images.to(device)).cpu()


def at_once(drawing_on: torch.device | None = None) -> int:
    """Returns the number of pictures in a batch.

    Args:
        drawing_on: the device on which a prior draws codes for them, which may take minutes for each; None for what is
            quicker. A processor is hardly faster with more at once, and its progress is seen more often with fewer.
    """
    return BATCH if drawing_on is None or drawing_on.type == "cuda" else min(BATCH, ON_PROCESSOR)


def write_outputs(
    network: Network,
    originals: Originals,
    spec: ImageSpec,
    reading: Reading,
    out: str,
    whole: bool,
    batch: int,
) -> None:
    """Applies a network to pictures, and writes the results.

    Args:
        network: takes and returns tensors on the CPU.
        originals: the pictures, as `find_originals` found them for this `out`.
        spec: the shape of the network's images.
        reading: how the pictures are read.
        out: a folder or, for a grid, an image file.
        whole: whether the pictures keep their size and are processed in tiles.
        batch: pictures at once, if they are brought to the size of the network's.

    Raises:
        UserError: a picture cannot be decoded, or `out` cannot be written.
    """
    files, names = originals
    if not whole:
        batches = read_in_batches(files, spec, reading, batch)
        write_batches(names, ((part, applied(network, part)) for part in batches), [out], "images")
        return
    with _saying_what_is_written(len(files), "images", [out]) as written:
        for (number,) in progress(len(files), "images"):
            picture = to_float(reading.kept(files[number], None, spec.channels))
            save_image(to_uint8(apply_in_tiles(network, picture, spec.size)), _path(out, names[number]))
            written.append(names[number])
    print(f"wrote {len(files)} images, as large as they were, to {out}")


def applied(network: Network, originals: Tensor) -> Tensor:
    """Applies a network to (B, C, H, W) uint8 or uint16 pictures; returns the same shape in uint8."""
    return to_uint8(network(to_float(originals)))


def places_of(out: str, proposals: int) -> list[str]:
    """Returns where several proposals for each picture are written: a grid, a folder, or a folder for each proposal."""
    if is_image_file(out) or proposals == 1 or not out:
        return [out]
    return [str(Path(out) / f"proposal_{number}") for number in range(1, proposals + 1)]


def find_originals(
    folder: str, reading: Reading, places: Sequence[str], first: int | None = None, whole: bool = False
) -> Originals:
    """Finds the pictures of a folder, before a model is loaded, and makes sure of what can be known without decoding.

    Args:
        folder: the folder.
        reading: how they are read.
        places: where pictures made from them are to be written by their names: folders, or one image file for a grid.
        first: how many pictures a grid is made of; by default all are read for it too.
        whole: whether the pictures keep their size.

    Returns:
        The files, and their names: sorted paths below the folder.

    Raises:
        UserError: the folder is missing or empty, files are no pictures by their headers, a place cannot be written, or
            it is an image file and the pictures keep their size.
    """
    grid = is_image_file(places[0])
    if whole and grid:
        raise UserError("--whole writes pictures as large as they are: name a folder by --out")
    files, names = checked_pictures(folder, reading, first if grid else None)
    for place in places:
        check_names(names, folder, place)
    return files, names


def proposed(
    batches: Iterable[Originated], draws: Sequence[Callable[[Originated], Tensor]], count: int
) -> Iterator[tuple[Originated, list[Tensor]]]:
    """Yields batches of `count` pictures with what each function draws for them, and shows the progress of the draws.

    Args:
        batches: the batches.
        draws: each maps a batch -> (B, C, H, W).
        count: the pictures of all batches.
    """
    with counting(count * len(draws), "images") as add:
        for batch in batches:
            made: list[Tensor] = []
            for draw in draws:
                made.append(draw(batch))
                add(len(made[-1]))
            yield batch, made


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
    with _saying_what_is_written(len(names), what, places) as written:
        for _, *made in batches:
            for *pictures, name in zip(*made, remaining, strict=False):  # the names of later batches remain
                for picture, place in zip(pictures, places, strict=True):
                    save_image(picture, _path(place, name))
                written.append(name)
    for place in places:
        print(f"wrote {len(names)} {what} to {place}")


@contextmanager
def _saying_what_is_written(count: int, what: str, places: Sequence[str]) -> Iterator[list[Path]]:
    """Yields a list for the names of the pictures that were written, and adds their number to an error."""
    written: list[Path] = []
    try:
        yield written
    except UserError as error:
        if not written:
            raise
        out = places[0] if len(places) == 1 else Path(places[0]).parent
        raise UserError(f"{error}; before, {len(written)} of {count} {what} were written to {out}") from error


def first_of(batches: Iterable[Sequence[Tensor]]) -> list[Tensor]:
    """Goes through batches of several parts; returns the first pictures of each part that a grid shows, in uint8."""
    kept: list[Sequence[Tensor]] = []
    for batch in batches:
        if sum(len(parts[0]) for parts in kept) < SHOWN:
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
