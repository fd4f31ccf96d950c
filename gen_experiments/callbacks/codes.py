"""Pictures of a codebook: the codes of images as maps, and the image of each code."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from gen_experiments.callbacks.pictures import MAX_PICTURES, drawing_folder, write_picture
from gen_experiments.callbacks.protocols import Tokenizes
from gen_experiments.errors import check_interval
from gen_experiments.grids import grid, in_rows
from gen_experiments.images import Batch, to_uint8

MAX_CODES = 1024  # used codes among which neighbours are searched
CHUNK = 64  # codes decoded at a time


class CodePictures(Callback):
    """At every validation of a model with codes, draws two pictures into `images/` of the run's folder.

    `code_maps`: images above their codes, coloured by the function `code_maps`. `codebook`: the first row has the most
    used codes, each decoded alone to an image; below each are its nearest used codes, from near to far. For a quantizer
    of several levels the uses on all levels are added, and a code is decoded as one of the first level; if the grids
    differ, as one of all levels at once.

    Args:
        count: images in `code_maps`.
        columns: images per row of `code_maps`, and most used codes in `codebook`.
        neighbours: nearest codes per code; 0 for none.

    Raises:
        UserError: a number out of [1, 4096].
    """

    def __init__(self, count: int = 16, columns: int = 16, neighbours: int = 5) -> None:
        check_interval(f"[1, {MAX_PICTURES}]", count=count, columns=columns)
        check_interval(f"[0, {MAX_PICTURES}]", neighbours=neighbours)
        self.count, self.columns, self.neighbours = count, columns, neighbours
        self._images: list[Tensor] = []
        self._codes: list[Tensor] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes the last validation's images."""
        self._images, self._codes = [], []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, *_: int
    ) -> None:
        """Keeps the first images and their codes."""
        missing = self.count - sum(images.shape[0] for images in self._images)
        if missing > 0 and isinstance(outputs, Mapping) and "codes" in outputs:
            self._images.append(to_uint8(batch.images[:missing]))
            self._codes.append(outputs["codes"][:missing])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws, on the first process."""
        folder = drawing_folder(trainer)
        if folder is None or not self._codes:
            return
        assert isinstance(pl_module, Tokenizes)
        images, codes = torch.cat(self._images), torch.cat(self._codes)
        maps = to_uint8(code_maps(pl_module.code_latents(codes), images.shape[-2:]))
        pairs = in_rows(*_beside(images, maps), columns=self.columns)
        write_picture(trainer, pl_module, folder, "code_maps", grid(pairs, self.columns), "images above their codes")
        shown = "the codes most used, and below each its nearest codes"
        write_picture(trainer, pl_module, folder, "codebook", self._codebook(pl_module, codes.shape[1:]), shown)

    def _codebook(self, model: Tokenizes, shape: torch.Size) -> Tensor:
        counts = model.code_counts
        assert counts is not None
        used = counts.argsort(descending=True, stable=True)[: min(MAX_CODES, int((counts > 0).sum()))]
        first_level = (1, *shape[1:]) if len(shape) == 3 else tuple(shape)
        uniform = used.reshape(-1, *[1] * len(first_level)).expand(-1, *first_level)
        latents = torch.cat([model.code_latents(part).mean(dim=(2, 3)) for part in uniform.split(CHUNK)])
        shown = nearest_codes(latents, min(self.columns, len(used)), self.neighbours)
        pictures = torch.cat([to_uint8(model.decode(part)) for part in uniform[shown.flatten()].split(CHUNK)])
        return grid(pictures, shown.shape[1])


def _beside(images: Tensor, maps: Tensor) -> list[Tensor]:
    """Returns images and (N, 3, H, W) maps with equal channels; images of two channels become two pictures."""
    if images.shape[1] == 4:
        return [images, torch.cat([maps, maps.new_full((len(maps), 1, *maps.shape[2:]), 255)], dim=1)]
    parts = images.split(1, dim=1) if images.shape[1] == 2 else (images,)
    return [*(part.expand(-1, 3, -1, -1) for part in parts), maps]


def code_maps(latents: Tensor, size: Sequence[int]) -> Tensor:
    """Returns latents as colours, with their three principal components as red, green and blue.

    Args:
        latents: (B, D, h, w).
        size: height and width of a map.

    Returns:
        (B, 3, H, W) in [-1, 1], where each colour has its full range in the batch; with D < 3 the last colours are -1.
    """
    rows = latents.movedim(1, -1).flatten(0, 2).float()
    centred = rows - rows.mean(0)
    directions = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :3]
    # The sign of an eigenvector is arbitrary: it is fixed, so that codes keep their colours at the next validation.
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    colours = centred @ (directions * largest.sign())
    least, most = colours.aminmax(dim=0)
    colours = F.pad((colours - least) / (most - least).clamp(min=1e-12) * 2 - 1, (0, 3 - colours.shape[1]), value=-1.0)
    maps = colours.unflatten(0, (latents.shape[0], *latents.shape[2:])).movedim(-1, 1)
    return F.interpolate(maps, size=list(size), mode="nearest")


def nearest_codes(latents: Tensor, columns: int, neighbours: int) -> Tensor:
    """Returns the indices of the first `columns` of (K, D) codes and, below each, of its nearest other codes.

    Returns:
        (1 + min(neighbours, K − 1), columns) int64.
    """
    distances = torch.cdist(latents[:columns].double(), latents.double()).fill_diagonal_(-1.0)
    return distances.argsort(dim=1, stable=True)[:, : neighbours + 1].T
