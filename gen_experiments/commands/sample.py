"""`sample`: pictures that a checkpoint generates."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.callbacks.protocols import Samples
from gen_experiments.commands.decoding import decode_by
from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.image_files import is_image_file, prepare_output
from gen_experiments.commands.labels import class_names, class_numbers, one_label
from gen_experiments.errors import UserError, check_interval
from gen_experiments.grids import MAX_IN_GRID, page_names, save_grid
from gen_experiments.images import save_image, to_uint8
from gen_experiments.priors.decoding import UNCHANGED, DecodingChanges
from gen_experiments.progress import progress
from gen_experiments.runs.job import is_first_process
from gen_experiments.storage import check_empty

BATCH = 64


@torch.inference_mode()
def sample(
    checkpoint: str,
    num: int = 64,
    out: str = "samples.png",
    seed: int = 0,
    class_: str | None = None,
    per_class: int | None = None,
    truncation: float = 1.0,
    decoding: DecodingChanges = UNCHANGED,
    device: str = "auto",
) -> None:
    """Writes images that a checkpoint's model generates, as one grid or as a folder of PNG files.

    A folder is written image by image: after an interruption it holds the first images, each complete. The processes
    of torchrun share the images.

    Args:
        checkpoint: a checkpoint of a model that generates, such as a GAN or a prior.
        num: the number of images.
        out: an image file for a grid, whose further pages are NAME_2.png and so on; a new or empty folder for one file
            per image.
        seed: the seed of the images; the same seed gives the same images on every machine.
        class_: the class of all images, by name or number, for a model of classes; without it the classes are drawn.
        per_class: the number of images of every class, instead of num. A grid has a row per class; a folder has a
            sub-folder per class with the class's name in the training data, so that it can be trained on.
        truncation: factor in (0, 1] on the noise (GAN) or on the temperature of the codes (prior): smaller is more
            typical and less varied.
        decoding: what to change of how a prior draws codes, as in --decoding.guidance=2 --decoding.top_k=100.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint cannot be used, a number is out of range, `out` cannot be written, or it is a folder
            that is not empty.
    """
    check_interval("[1, inf)", num=num, per_class=1 if per_class is None else per_class)
    check_interval("[0, inf)", seed=seed)
    check_interval("(0, 1]", truncation=truncation)
    if class_ is not None and per_class is not None:
        raise UserError("--class and --per_class exclude each other")
    as_grid = is_image_file(out)
    if not as_grid:
        check_empty(Path(out))  # earlier samples would be scored with these
        distributed.barrier()  # every process has looked before the first writes
    model = load_on_device(checkpoint, Samples, "sample", device)
    decode_by(model, decoding)
    label = None if class_ is None else class_numbers("--class", [class_], model)[0]
    names = None if per_class is None else class_names("--per_class", model)
    if per_class is not None and names is not None:
        num = per_class * len(names)
    if as_grid and num > MAX_IN_GRID:
        raise UserError(f"a grid has room for {MAX_IN_GRID} images, not {num}: name a folder by --out")
    prepare_output(out)
    shown, places = [torch.empty(0, *model.image.shape, dtype=torch.uint8)], [torch.empty(0, dtype=torch.int64)]
    for indices in progress(num, "images", BATCH, shared=True):
        labels = _labels(indices, label, per_class)
        images = to_uint8(model.sample(indices.start, len(indices), seed, labels, truncation)).cpu()
        if as_grid:
            shown.append(images)
            places.append(torch.arange(indices.start, indices.stop))
            continue
        for number, image in zip(indices, images, strict=True):
            save_image(image, Path(out) / _file(number, per_class, names))
    images, _ = distributed.gather_in_order(shown, places)
    if is_first_process():
        if as_grid:
            out = page_names(save_grid(images, out, per_class, row_names=names))
        print(f"wrote {num} images to {out}")


def _labels(indices: range, label: int | None, per_class: int | None) -> Tensor | None:
    """Returns the requested labels; None if the model draws them."""
    if per_class is not None:
        return torch.tensor([number // per_class for number in indices])
    return one_label(label, len(indices))


def _file(number: int, per_class: int | None, names: Sequence[str] | None) -> str:
    """Returns the name of an image's file; images of given numbers have a sub-folder for each class."""
    if per_class is None or names is None:
        return f"{number:05d}.png"
    return f"{names[number // per_class]}/{number % per_class:05d}.png"
