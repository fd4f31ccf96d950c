"""`translate` and `restore`: what a model makes of a folder's pictures, by name; `damage`: what it is given."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from gen_experiments import randomness
from gen_experiments.callbacks.protocols import Proposes, Reconstructs, Translates, TranslatesInStyle, remaker
from gen_experiments.commands.devices import loaded
from gen_experiments.commands.tiles import tiled
from gen_experiments.commands.training_data import data_of, training_data
from gen_experiments.data.damage import Damage, damaged
from gen_experiments.data.folder import find_pictures
from gen_experiments.data.pictures import channels_of, decode_all, decode_one
from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import IMAGE_SUFFIXES, ImageSpec, in_rows, save_image, to_float, to_uint8
from gen_experiments.metrics.reconstruction import psnr
from gen_experiments.models.base import ImageModel
from gen_experiments.progress import progress
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
    style: str | None = None,
    seed: int = 0,
    whole: bool = False,
    device: str = "auto",
) -> None:
    """Turns the pictures of a folder into others, by a model such as pix2pix, CycleGAN or MUNIT.

    Args:
        checkpoint: a checkpoint of a model that translates.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: a folder, for PNG files of the same names, or an image file, for a grid of at most 256 pictures above their
            translations.
        to: the side that they are turned into, B or A; by default what the model is validated by.
        style: a picture of that side in whose style all are made, for models that can, such as MUNIT.
        seed: names the style that these draw without such a picture, one for all; others draw nothing.
        whole: keep the pictures as large as they are, in overlapping tiles; only into a folder.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint, the folder or the style's picture cannot be used, the model has no such direction or
            takes no style, or `out` cannot be written.
    """
    check_interval("[0, inf)", seed=seed)
    model = loaded(checkpoint, Translates, "translate", device)
    assert isinstance(model, Translates)
    model.translate(torch.zeros(1, *model.image.shape, device=model.device), to)  # refuses an unknown direction
    made: Made = lambda part: model.translate(part.to(model.device), to).cpu()  # noqa: E731
    if isinstance(model, TranslatesInStyle):
        styles = model.drawn_style(seed, to) if style is None else model.styles_of(_style_picture(style, model), to)
        made = lambda part: model.translate(part.to(model.device), to, styles).cpu()  # noqa: E731
    elif style is not None:
        raise UserError(f"{checkpoint} holds a {type(model).__name__}, which takes no style: leave out --style")
    _write(made, images, model.image, out, whole)


@torch.inference_mode()
def restore(
    checkpoint: str,
    images: str,
    out: str = "restored.png",
    damaging: bool = False,
    proposals: int = 1,
    whole: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Restores the damaged pictures of a folder, by a model that was trained over data with `damage`.

    Args:
        checkpoint: a checkpoint of such a model.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: as for `translate`; several proposals go into the folders proposal_1, proposal_2, … of a folder.
        damaging: damage the pictures first, as the training of the checkpoint's run did, and print how much closer to
            the pictures the restored ones are than the damaged.
        proposals: how many restorations of each picture, by a model that draws them (RestorationPrior): samples of the
            codes of the clean picture given those of the damaged one, decoded.
        whole: keep the pictures as large as they are, in overlapping tiles; only into a folder.
        seed: names the random numbers of the damage and of the proposals.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: as for `translate`, the run knows no damage, or the model makes one restoration only.
    """
    check_interval("[1, inf)", proposals=proposals)
    check_interval("[0, inf)", seed=seed)
    model = loaded(checkpoint, ImageModel, "restore", device)
    restorers = _restorers(model, checkpoint, proposals, seed)
    if not damaging:
        if proposals == 1:
            _write(restorers[0], images, model.image, out, whole)
            return
        if whole:
            raise UserError("--whole blends tiles, which proposals do not share: leave out --proposals or --whole")
        files, spoilt = _pictures(images, model.image)
        restored = [_made(made, spoilt) for made in restorers]
        if _is_picture(out):
            _show([spoilt, *restored], out, f"damaged images above {proposals} proposals each")
            return
        for number, each in enumerate(restored, start=1):
            _give(files, spoilt, each, Path(images), str(Path(out) / f"proposal_{number}"), "images")
        return
    if whole or not _is_picture(out):
        raise UserError(
            "--damaging compares pictures of the model's size: name an image file by --out, without --whole"
        )
    parts = training_data(checkpoint, None).damage
    if not parts:
        raise UserError(f"the run of {checkpoint} was trained without damage: restore pictures that are damaged")
    _, clean = _pictures(images, model.image)
    spoilt = _spoilt(clean, parts, seed)
    restored = [_made(made, spoilt) for made in restorers]
    before, after = (torch.stack([psnr(each, clean) for each in some]).mean().item() for some in ([spoilt], restored))
    print(f"PSNR {before:.2f} dB damaged, {after:.2f} dB restored: {after - before:+.2f} dB")
    _show([spoilt, *restored, clean], out, "damaged images above the restored and the true ones")


def _restorers(model: ImageModel, checkpoint: str, proposals: int, seed: int) -> list[Made]:
    """Returns what makes each of the proposals.

    Raises:
        UserError: the model restores nothing, or makes fewer.
    """
    draws: list[Made]
    if isinstance(model, Proposes):
        draws = [partial(model.propose, proposal=number, seed=seed) for number in range(proposals)]
    elif (remake := remaker(model)) is None:
        raise UserError(f"{checkpoint} holds a {type(model).__name__}, which cannot restore")
    elif proposals > 1:
        raise UserError(
            f"a {type(model).__name__} makes one restoration of a picture: leave out --proposals, or name the "
            "checkpoint of a RestorationPrior"
        )
    elif isinstance(model, Reconstructs) and not training_data(checkpoint, None).has_sources:
        raise UserError(f"the run of {checkpoint} was trained without damage: it reconstructs pictures as they are")
    else:
        draws = [remake]
    return [partial(_on_device, draw, model.device) for draw in draws]


def _on_device(made: Made, device: torch.device, part: Tensor) -> Tensor:
    return made(part.to(device)).cpu()


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
    files, clean = _pictures(images, data.image)
    _give(files, clean, _spoilt(clean, data.damage, seed), Path(images), out, "damaged images")


def _write(made: Made, folder: str, spec: ImageSpec, out: str, whole: bool) -> None:
    """Makes pictures of those of a folder and writes them."""
    if whole:
        if _is_picture(out):
            raise UserError("--whole writes pictures as large as they are: name a folder by --out")
        files, _ = find_pictures(Path(folder))
        names = _names(files, Path(folder), Path(out))
        for (number,) in progress(len(files), "images"):
            picture = to_float(torch.from_numpy(decode_one(files[number], None, spec.channels)))
            save_image(to_uint8(tiled(made, picture, spec.size)), names[number])
        print(f"wrote {len(files)} images, as large as they were, to {out}")
        return
    files, originals = _pictures(folder, spec)
    _give(files, originals, _made(made, originals), Path(folder), out, "images")


def _made(made: Made, originals: Tensor) -> Tensor:
    """Returns what is made of (N, C, H, W) uint8 pictures: the same shape."""
    parts = [originals[part.start : part.stop] for part in progress(len(originals), "images", BATCH)]
    return torch.cat([to_uint8(made(to_float(part))) for part in parts])


def _show(rows: list[Tensor], out: str, what: str) -> None:
    """Writes pictures as a grid, each above its others."""
    shown = in_rows(*(each[:SHOWN] for each in rows), columns=COLUMNS)
    pages = listed(save_grid(shown, out, COLUMNS, together=len(rows)))
    print(f"wrote {len(rows[0][:SHOWN])} {what} to {pages}")


def _pictures(folder: str, spec: ImageSpec) -> tuple[list[Path], Tensor]:
    """Returns the files of a folder and their pictures, (N, C, H, W) uint8."""
    files, _ = find_pictures(Path(folder))
    return files, torch.from_numpy(decode_all(files, spec.size, spec.channels))


def _style_picture(file: str, model: ImageModel) -> Tensor:
    """Returns the picture whose style is asked for: (1, C, H, W) in [-1, 1], on the model's device.

    Raises:
        UserError: there is none, it cannot be decoded, or it is grey and the model's pictures are not, or the reverse.
    """
    if not Path(file).is_file():
        raise UserError(f"there is no picture {file}: name one by --style")
    spec = model.image
    pixels = torch.from_numpy(decode_one(Path(file), spec.size, spec.channels))
    if channels_of(Path(file)) != spec.channels:
        here, there = ("colours", "grey") if spec.channels == 1 else ("grey", "colours")
        raise UserError(
            f"{file} is in {here} and what {type(model).__name__} makes in {there}: convert it, or name another"
        )
    return to_float(pixels)[None].to(model.device)


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
