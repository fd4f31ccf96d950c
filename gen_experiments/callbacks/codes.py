"""Pictures of a codebook's health: where the codes of an image lie, and what each code stands for."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from gen_experiments.callbacks.pictures import MOST_PICTURES, drawing_folder, write_picture
from gen_experiments.callbacks.protocols import Tokenizes
from gen_experiments.errors import check_interval
from gen_experiments.images import Batch, grid, in_rows, to_uint8

MOST_CODES = 1024  # of the used codes, those among which neighbours are sought
CHUNK = 64  # codes decoded at a time


class CodePictures(Callback):
    """At every validation of a model with codes, draws two pictures into `images/` of the run's folder.

    `code_maps`: images above their codes, coloured by the function of that name. `codebook`: in the first row the codes
    most used, each as the image that it alone decodes to, and below each its nearest codes of those in use, from near
    to far. Of a quantizer of several levels these are codes of the first; where the grids differ, of all at once.

    Args:
        count: images in the picture of the maps.
        columns: images in a row of it, and most used codes in the other.
        neighbours: nearest codes shown of each; 0 for none.

    Raises:
        UserError: a number out of [1, 4096].
    """

    def __init__(self, count: int = 16, columns: int = 16, neighbours: int = 5) -> None:
        check_interval(f"[1, {MOST_PICTURES}]", count=count, columns=columns)
        check_interval(f"[0, {MOST_PICTURES}]", neighbours=neighbours)
        self.count, self.columns, self.neighbours = count, columns, neighbours
        self._images: list[Tensor] = []
        self._codes: list[Tensor] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forgets the last validation's images."""
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
        used = counts.argsort(descending=True, stable=True)[: min(MOST_CODES, int((counts > 0).sum()))]
        first_level = (1, *shape[1:]) if len(shape) == 3 else tuple(shape)
        uniform = used.reshape(-1, *[1] * len(first_level)).expand(-1, *first_level)
        latents = torch.cat([model.code_latents(part).mean(dim=(2, 3)) for part in uniform.split(CHUNK)])
        shown = nearest_codes(latents, min(self.columns, len(used)), self.neighbours)
        pictures = torch.cat([to_uint8(model.decode(part)) for part in uniform[shown.flatten()].split(CHUNK)])
        return grid(pictures, shown.shape[1])


def _beside(images: Tensor, maps: Tensor) -> list[Tensor]:
    """Returns images and (N, 3, H, W) maps in as many channels; images of two channels are two pictures."""
    if images.shape[1] == 4:
        return [images, torch.cat([maps, maps.new_full((len(maps), 1, *maps.shape[2:]), 255)], dim=1)]
    parts = images.split(1, dim=1) if images.shape[1] == 2 else (images,)
    return [*(part.expand(-1, 3, -1, -1) for part in parts), maps]


def code_maps(latents: Tensor, size: Sequence[int]) -> Tensor:
    """Returns latents as colours, their three main directions as red, green and blue: similar codes look similar.

    Args:
        latents: (B, D, h, w).
        size: height and width of a map.

    Returns:
        (B, 3, H, W) in [-1, 1], each colour over its whole range in the batch; with fewer than three channels the
        last colours are dark.
    """
    rows = latents.movedim(1, -1).flatten(0, 2).float()
    centred = rows - rows.mean(0)
    directions = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :3]
    # An eigenvector has no sign of its own: the same codes should have the same colours at the next validation.
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    colours = centred @ (directions * largest.sign())
    least, most = colours.aminmax(dim=0)
    colours = F.pad((colours - least) / (most - least).clamp(min=1e-12) * 2 - 1, (0, 3 - colours.shape[1]), value=-1.0)
    maps = colours.unflatten(0, (latents.shape[0], *latents.shape[2:])).movedim(-1, 1)
    return F.interpolate(maps, size=list(size), mode="nearest")


def nearest_codes(latents: Tensor, columns: int, neighbours: int) -> Tensor:
    """Returns the indices of the first `columns` of (K, D) codes and, below each, those of its nearest others in order.

    Returns:
        (1 + min(neighbours, K − 1), columns) int64.
    """
    distances = torch.cdist(latents[:columns].double(), latents.double()).fill_diagonal_(-1.0)
    return distances.argsort(dim=1, stable=True)[:, : neighbours + 1].T
