"""`translate`: a model's translations of the pictures of a folder."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from gen_experiments.callbacks.protocols import Translates, TranslatesInStyle
from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.outputs import SHOWN, at_once, find_originals, on_device, write_outputs
from gen_experiments.commands.reading import Reading, reading_of
from gen_experiments.data.picture_decoding import is_grey
from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import to_float


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
    """Translates the pictures of a folder by a model such as pix2pix, CycleGAN or MUNIT.

    Args:
        checkpoint: a checkpoint of a model that translates.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: a folder, for PNG files of the same names, or an image file, for a grid of at most 256 pictures above their
            translations.
        to: the side to translate to, B or A; by default the side that the validation scores.
        style: a picture of that side whose style all translations get, for models with styles, such as MUNIT.
        seed: the seed of the one style that such a model draws without a picture.
        whole: translate in overlapping tiles at the pictures' own size; only into a folder.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint, the folder or the style's picture cannot be used, the model has no such direction or
            takes no style, the seed is negative, or `out` cannot be written.
    """
    check_interval("[0, inf)", seed=seed)
    reading = reading_of(checkpoint)
    originals = find_originals(images, reading, [out], SHOWN, whole)
    model = load_on_device(checkpoint, Translates, "translate", device)
    model.translate(torch.zeros(1, *model.image.shape, device=model.device), to)  # refuses an unknown direction
    network = partial(model.translate, to=to)
    if isinstance(model, TranslatesInStyle):
        if style is None:
            styles = model.drawn_styles(torch.zeros(1, dtype=torch.int64), seed, to)
        else:
            styles = model.styles_of(_style_picture(style, model, reading), to)
        network = partial(model.translate, to=to, styles=styles)
    elif style is not None:
        raise UserError(f"{checkpoint} holds a {type(model).__name__}, which takes no style: leave out --style")
    write_outputs(on_device(network, model.device), originals, model.image, reading, out, whole, at_once())


def _style_picture(file: str, model: TranslatesInStyle, reading: Reading) -> Tensor:
    """Returns the picture of the requested style: (1, C, H, W) in [-1, 1], on the model's device.

    Raises:
        UserError: there is none, it cannot be decoded, or it is grey and the model's pictures are not, or the reverse.
    """
    if not Path(file).is_file():
        raise UserError(f"there is no picture {file}: name one by --style")
    spec = model.image
    pixels = reading.kept(Path(file), spec.size, spec.channels)
    if is_grey(Path(file)) != (spec.channels < 3):
        here, there = ("colours", "grey") if spec.channels < 3 else ("grey", "colours")
        raise UserError(
            f"{file} is in {here} and what {type(model).__name__} makes in {there}: convert it, or name another"
        )
    return to_float(pixels)[None].to(model.device)
