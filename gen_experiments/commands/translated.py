"""Pictures that are made of those of a folder: by their names in another, or as a grid."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from gen_experiments.commands.pictures import read_named_images
from gen_experiments.commands.reading import Reading
from gen_experiments.commands.tiles import tiled
from gen_experiments.data.folder import find_pictures
from gen_experiments.data.pictures import decode_one
from gen_experiments.errors import UserError
from gen_experiments.images import IMAGE_SUFFIXES, ImageSpec, in_rows, save_image, to_float, to_uint8
from gen_experiments.progress import progress
from gen_experiments.sheets import listed, save_grid

BATCH, COLUMNS, SHOWN = 32, 8, 256

Made = Callable[[Tensor], Tensor]


def write_made(made: Made, folder: str, spec: ImageSpec, reading: Reading, out: str, whole: bool) -> None:
    """Makes pictures of those of a folder and writes them."""
    if whole:
        if is_picture(out):
            raise UserError("--whole writes pictures as large as they are: name a folder by --out")
        files, _ = find_pictures(Path(folder), reading.suffixes)
        names = _names(files, Path(folder), Path(out))
        for (number,) in progress(len(files), "images"):
            picture = to_float(torch.from_numpy(decode_one(files[number], None, spec.channels, reading.framing)))
            save_image(to_uint8(tiled(made, picture, spec.size)), names[number])
        print(f"wrote {len(files)} images, as large as they were, to {out}")
        return
    files, originals = pictures_of(folder, spec, reading)
    write_named(files, originals, made_of(made, originals), Path(folder), out, "images")


def made_of(made: Made, originals: Tensor) -> Tensor:
    """Returns what is made of (N, C, H, W) uint8 pictures: the same shape."""
    parts = [originals[part.start : part.stop] for part in progress(len(originals), "images", BATCH)]
    return torch.cat([to_uint8(made(to_float(part))) for part in parts])


def show(rows: list[Tensor], out: str, what: str) -> None:
    """Writes pictures as a grid, each above its others."""
    shown = in_rows(*(each[:SHOWN] for each in rows), columns=COLUMNS)
    pages = listed(save_grid(shown, out, COLUMNS, together=len(rows)))
    print(f"wrote {len(rows[0][:SHOWN])} {what} to {pages}")


def pictures_of(folder: str, spec: ImageSpec, reading: Reading) -> tuple[list[Path], Tensor]:
    """Returns the files of a folder and their pictures, (N, C, H, W) uint8."""
    names, images = read_named_images(folder, spec, reading)
    return [Path(folder) / name for name in names], images


def write_named(files: list[Path], originals: Tensor, made: Tensor, folder: Path, out: str, what: str) -> None:
    """Writes pictures by the names of their originals, or as a grid below them."""
    if is_picture(out):
        rows = in_rows(originals[:SHOWN], made[:SHOWN], columns=COLUMNS)
        pages = listed(save_grid(rows, out, COLUMNS, together=2))
        print(f"wrote {len(made[:SHOWN])} {what} below their originals to {pages}")
        return
    for name, picture in zip(_names(files, folder, Path(out)), made, strict=True):
        save_image(picture, name)
    print(f"wrote {len(made)} {what} to {out}")


def _names(files: list[Path], folder: Path, out: Path) -> list[Path]:
    """Returns where pictures are written, by the names of their originals.

    Raises:
        UserError: an original or another picture would be overwritten.
    """
    names = [out / file.relative_to(folder).with_suffix(".png") for file in files]
    if out.resolve() == folder.resolve():
        raise UserError(f"{out} holds the originals, which would be overwritten: name another folder by --out")
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UserError(f"two pictures would both be written to {name}: rename one of their originals")
    return names


def is_picture(out: str) -> bool:
    """Returns whether an output is meant as one picture and not as a folder."""
    return Path(out).suffix.lower() in IMAGE_SUFFIXES
