"""`translate` and `restore`: what a model makes of a folder's pictures, by name; `damage`: what it is given."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gen_experiments import randomness
from gen_experiments.callbacks.protocols import Translates
from gen_experiments.commands.devices import loaded
from gen_experiments.commands.pictures import read_images, read_named_images
from gen_experiments.commands.progress import progress
from gen_experiments.commands.reading import Reading, reading_of
from gen_experiments.commands.tiles import tiled
from gen_experiments.commands.training_data import data_of, training_data
from gen_experiments.data.damage import Damage, damaged
from gen_experiments.data.folder import find_pictures
from gen_experiments.data.pictures import decode_one
from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import IMAGE_SUFFIXES, ImageSpec, in_rows, save_image, to_float, to_uint8
from gen_experiments.metrics.reconstruction import psnr
from gen_experiments.sheets import listed, save_grid

BATCH, COLUMNS, SHOWN = 32, 8, 256
DAMAGE_STREAM = 29

Made = Callable[[Tensor], Tensor]


@torch.inference_mode()
def translate(
    checkpoint: str,
    images: str,
    out: str = "translations.png",
    to: str | None = None,
    whole: bool = False,
    device: str = "auto",
) -> None:
    """Turns the pictures of a folder into others, by a model such as pix2pix or CycleGAN.

    Args:
        checkpoint: a checkpoint of a model that translates.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: a folder, for PNG files of the same names, or an image file, for a grid of at most 256 pictures above their
            translations.
        to: the side that they are turned into, B or A; by default what the model is validated by.
        whole: keep the pictures as large as they are, in overlapping tiles; only into a folder.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint or the folder cannot be used, the model has no such direction, or `out` cannot be
            written.
    """
    model = loaded(checkpoint, Translates, "translate", device)
    assert isinstance(model, Translates)
    model.translate(torch.zeros(1, *model.image.shape, device=model.device), to)  # refuses an unknown direction
    made: Made = lambda part: model.translate(part.to(model.device), to).cpu()  # noqa: E731
    _write(made, images, model.image, reading_of(checkpoint), out, whole)


@torch.inference_mode()
def restore(
    checkpoint: str,
    images: str,
    out: str = "restored.png",
    damaging: bool = False,
    whole: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Restores the damaged pictures of a folder, by a model that was trained over data with `damage`.

    Args:
        checkpoint: a checkpoint of such a model.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: as for `translate`.
        damaging: damage the pictures first, as the training of the checkpoint's run did, and print how much closer to
            the pictures the restored ones are than the damaged.
        whole: keep the pictures as large as they are, in overlapping tiles; only into a folder.
        seed: names the random numbers of the damage.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: as for `translate`, or the run knows no damage.
    """
    model = loaded(checkpoint, Translates, "restore", device)
    assert isinstance(model, Translates)
    made: Made = lambda part: model.translate(part.to(model.device)).cpu()  # noqa: E731
    if not damaging:
        _write(made, images, model.image, reading_of(checkpoint), out, whole)
        return
    if whole or not _is_picture(out):
        raise UserError(
            "--damaging compares pictures of the model's size: name an image file by --out, without --whole"
        )
    parts = training_data(checkpoint, None).damage
    if not parts:
        raise UserError(f"the run of {checkpoint} was trained without damage: restore pictures that are damaged")
    clean = read_images(images, model.image, checkpoint)
    spoilt = _spoilt(clean, parts, seed)
    restored = torch.cat([to_uint8(made(to_float(part))) for part in spoilt.split(BATCH)])
    before, after = (float(psnr(each, clean).mean()) for each in (spoilt, restored))
    print(f"PSNR {before:.2f} dB damaged, {after:.2f} dB restored: {after - before:+.2f} dB")
    rows = in_rows(*(each[:SHOWN] for each in (spoilt, restored, clean)), columns=COLUMNS)
    pages = listed(save_grid(rows, out, COLUMNS, together=3))
    print(f"wrote {len(clean[:SHOWN])} damaged images above the restored and the true ones to {pages}")


@torch.inference_mode()
def damage(config: str, images: str, out: str = "damaged.png", seed: int = 0) -> None:
    """Damages the pictures of a folder as the training of a configuration would, so that one can look.

    Args:
        config: a YAML file whose `data` has `damage`: a recipe, or the config.yaml of a run.
        images: the folder; its pictures are cropped and resized to the size of the configuration.
        out: as for `translate`.
        seed: names the random numbers.

    Raises:
        UserError: the configuration has no damage, the folder cannot be used, or `out` cannot be written.
    """
    check_interval("[0, inf)", seed=seed)
    data = data_of(Path(config))
    if not data.damage:
        raise UserError(f"{config} damages nothing: give it data.damage, a list of kinds such as GaussianNoise")
    compared = replace(data.framing, crop="centre" if data.framing.crop == "random" else data.framing.crop, depth=8)
    files, clean = _pictures(images, data.image, Reading(compared))
    _give(files, clean, _spoilt(clean, data.damage, seed), Path(images), out, "damaged images")


def _write(made: Made, folder: str, spec: ImageSpec, reading: Reading, out: str, whole: bool) -> None:
    """Makes pictures of those of a folder and writes them."""
    if whole:
        if _is_picture(out):
            raise UserError("--whole writes pictures as large as they are: name a folder by --out")
        files, _ = find_pictures(Path(folder), reading.suffixes)
        names = _names(files, Path(folder), Path(out))
        for (number,) in progress(len(files), "images"):
            picture = to_float(torch.from_numpy(decode_one(files[number], None, spec.channels, reading.framing)))
            save_image(to_uint8(tiled(made, picture, spec.size)), names[number])
        print(f"wrote {len(files)} images, as large as they were, to {out}")
        return
    files, originals = _pictures(folder, spec, reading)
    parts = [originals[part.start : part.stop] for part in progress(len(originals), "images", BATCH)]
    _give(files, originals, torch.cat([to_uint8(made(to_float(part))) for part in parts]), Path(folder), out, "images")


def _pictures(folder: str, spec: ImageSpec, reading: Reading) -> tuple[list[Path], Tensor]:
    """Returns the files of a folder and their pictures, (N, C, H, W) uint8."""
    names, images = read_named_images(folder, spec, reading)
    return [Path(folder) / name for name in names], images


def _spoilt(images: Tensor, parts: list[Damage], seed: int) -> Tensor:
    """Returns (N, C, H, W) uint8 images after their damage; that of an image depends on its number and the seed."""
    seeds = randomness.seeds_of(torch.arange(len(images)), DAMAGE_STREAM, seed)
    pairs = zip(images.split(BATCH), seeds.split(BATCH), strict=True)
    return torch.cat([to_uint8(damaged(to_float(part), parts, of_part)) for part, of_part in pairs])


def _give(files: list[Path], originals: Tensor, made: Tensor, folder: Path, out: str, what: str) -> None:
    """Writes pictures by the names of their originals, or as a grid below them."""
    if _is_picture(out):
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


def _is_picture(out: str) -> bool:
    return Path(out).suffix.lower() in IMAGE_SUFFIXES
