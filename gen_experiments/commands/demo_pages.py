"""The page of `demo`: a tab for each ability of a model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments.callbacks.protocols import Reconstructs, Samples
from gen_experiments.commands.inpaint import GREY, central_quarter, fill_in
from gen_experiments.commands.interpolate import images_at, slerp
from gen_experiments.commands.labels import class_names, one_label
from gen_experiments.commands.reading import Reading, eight_bits, reading_of
from gen_experiments.errors import UserError
from gen_experiments.grids import grid
from gen_experiments.images import to_float, to_uint8
from gen_experiments.models.base import ImageModel
from gen_experiments.models.gan import GAN
from gen_experiments.models.prior import CodePrior
from gen_experiments.models.sampling import sample_rngs

SHOWN_SIDE = 512  # pixels: smaller grids are enlarged
MAX_SAMPLES, STEPS, PROPOSALS, MAX_SEED = 64, 8, 3, 2**31 - 1
OPEN = "any"  # the choice of no class


def build_page(model: ImageModel, path: Path) -> tuple[Any, Any]:
    """Returns the page of a model, and the theme to launch it with.

    Args:
        model: the model.
        path: its checkpoint, for the title, and whose run says how pictures are read.

    Raises:
        UserError: the model can do nothing that the page shows.
    """
    import gradio as gr

    tabs = [(title, build) for title, required, build in TABS if isinstance(model, required)]
    if not tabs:
        raise UserError(f"{path} holds a {type(model).__name__}, which can neither sample nor reconstruct")
    reading = reading_of(str(path))
    with gr.Blocks(title="gen_experiments", analytics_enabled=False) as page:
        gr.Markdown(f"## {type(model).__name__}\n{path}, {model.images_seen} images seen")
        for title, build in tabs:
            with gr.Tab(title):
                build(gr, model, reading)
    # The system's fonts: the default ones would be downloaded.
    return page, gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])


def draw_samples(model: Samples, label: int | None, seed: int, num: int, truncation: float) -> Tensor:
    """Returns (num, C, H, W) uint8 samples, those that `sample --seed` writes."""
    return to_uint8(model.sample(0, num, seed, one_label(label, num), truncation))


def way(model: GAN, label: int | None, start: int, stop: int) -> Tensor:
    """Returns (STEPS, C, H, W) uint8 images on the arc between the first samples of two seeds."""
    rngs = [*sample_rngs(0, 1, start), *sample_rngs(0, 1, stop)]
    labels = model.drawn_labels(rngs) if label is None else None  # before the noise, as `sample` does
    ends = model.noise(rngs)
    if labels is not None:
        label = int(labels[0])
    return images_at(model, slerp(ends[0], ends[1], torch.linspace(0, 1, STEPS)), label)


def remade(model: Any, picture: Tensor) -> Tensor:
    """Returns (2, C, H, W) uint8: a (C, H, W) uint8 or uint16 picture and its reconstruction."""
    return torch.stack([eight_bits(picture), to_uint8(model.reconstruct(to_float(picture[None])))[0]])


def proposals(
    model: CodePrior, picture: Tensor, box: tuple[int, int, int, int], label: int | None, seed: int
) -> Tensor:
    """Returns (2 + PROPOSALS, C, H, W) uint8: a picture, the same with its box covered, and fillings of the box.

    The picture is (C, H, W), uint8 or uint16.

    Raises:
        UserError: the box is empty.
    """
    left, top, right, bottom = box
    covered = torch.zeros(1, 1, *picture.shape[1:], dtype=torch.bool)
    covered[..., top:bottom, left:right] = True
    if not covered.any():
        raise UserError("the box covers nothing: its right must lie right of its left, and its bottom below its top")
    fillings = [fill_in(model, picture[None], covered, label, seed, number) for number in range(PROPOSALS)]
    shown = eight_bits(picture[None])
    return torch.cat([shown, shown.where(~covered[0], GREY), *fillings])


def sheet(images: Tensor, columns: int | None = None) -> NDArray[np.uint8]:
    """Returns (N, C, H, W) uint8 images as one picture for a browser, (height, width, 3); small grids are enlarged."""
    laid = grid(images, columns)
    times = max(1, SHOWN_SIDE // max(laid.shape[1:]))
    enlarged = laid.repeat_interleave(times, 1).repeat_interleave(times, 2)
    pixels: NDArray[np.uint8] = enlarged.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    return pixels


def _samples_tab(gr: Any, model: Any, reading: Reading) -> None:
    inputs = [
        *_class_choice(gr, model),
        _seed(gr, "seed"),
        gr.Slider(1, MAX_SAMPLES, 16, step=1, label="images"),
        gr.Slider(0.05, 1.0, 1.0, step=0.05, label="truncation"),
    ]

    def make(*values: Any) -> NDArray[np.uint8]:
        *label, seed, num, truncation = values
        return sheet(draw_samples(model, _label(label), int(seed), int(num), float(truncation)))

    _connect(gr, "sample", make, inputs)


def _way_tab(gr: Any, model: Any, reading: Reading) -> None:
    inputs = [*_class_choice(gr, model), _seed(gr, "from seed", 0), _seed(gr, "to seed", 1)]

    def make(*values: Any) -> NDArray[np.uint8]:
        *label, start, stop = values
        return sheet(way(model, _label(label), int(start), int(stop)), STEPS)

    _connect(gr, "interpolate", make, inputs)


def _reconstruction_tab(gr: Any, model: Any, reading: Reading) -> None:
    def make(file: str | None) -> NDArray[np.uint8]:
        return sheet(remade(model, _picture(model, file, reading)), 2)

    _connect(gr, "reconstruct", make, [_upload(gr)])


def _inpainting_tab(gr: Any, model: Any, reading: Reading) -> None:
    image = model.image
    names, most = ("left", "top", "right", "bottom"), (image.width, image.height) * 2
    inputs = [
        _upload(gr),
        *(
            gr.Slider(0, largest, value, step=1, label=f"{name} of the box, in pixels")
            for name, largest, value in zip(names, most, central_quarter(image), strict=True)
        ),
        *_class_choice(gr, model),
        _seed(gr, "seed"),
    ]

    def make(file: str | None, left: int, top: int, right: int, bottom: int, *values: Any) -> NDArray[np.uint8]:
        *label, seed = values
        box = int(left), int(top), int(right), int(bottom)
        made = proposals(model, _picture(model, file, reading), box, _label(label), int(seed))
        return sheet(made, len(made))

    _connect(gr, "inpaint", make, inputs)


TABS: tuple[tuple[str, type, Callable[[Any, Any, Reading], None]], ...] = (
    ("Sample", Samples, _samples_tab),
    ("Interpolate", GAN, _way_tab),
    ("Reconstruct", Reconstructs, _reconstruction_tab),
    ("Inpaint", CodePrior, _inpainting_tab),
)


def _connect(gr: Any, name: str, make: Callable[..., NDArray[np.uint8]], inputs: list[Any]) -> None:
    """Adds a button that computes and shows the result of the inputs; an error is shown as one line."""

    @torch.inference_mode()
    def answer(*values: Any) -> NDArray[np.uint8]:
        try:
            return make(*values)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    button = gr.Button(name, variant="primary", elem_id=f"{name}-button")
    shown = gr.Image(label=name, format="png", interactive=False, buttons=["download"], elem_id=f"{name}-result")
    # One call at a time over all tabs: a prior holds the temperature of the call in itself.
    button.click(answer, inputs, shown, concurrency_limit=1, concurrency_id="model", api_name=name)


def _class_choice(gr: Any, model: Any) -> list[Any]:
    """Returns a choice of the class, or nothing for a model without classes."""
    if model.num_classes is None:
        return []
    names = class_names("class", model)
    return [gr.Dropdown([(OPEN, -1), *((name, number) for number, name in enumerate(names))], value=-1, label="class")]


def _label(chosen: list[Any]) -> int | None:
    return int(chosen[0]) if chosen and int(chosen[0]) >= 0 else None


def _seed(gr: Any, label: str, value: int = 0) -> Any:
    return gr.Number(value, label=label, precision=0, minimum=0, maximum=MAX_SEED)


def _upload(gr: Any) -> Any:
    return gr.Image(type="filepath", sources=["upload", "clipboard"], image_mode=None, label="a picture of yours")


def _picture(model: ImageModel, file: str | None, reading: Reading) -> Tensor:
    """Returns a picture as the model takes it: (C, H, W) uint8, or uint16 where its run's data keep 16 bits."""
    if file is None:
        raise UserError("give it a picture first")
    return reading.kept(Path(file), model.image.size, model.image.channels)
