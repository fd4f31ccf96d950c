"""Pictures of the model's images, as PNG files in the run's folder and in the loggers."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.callbacks.lookups import data_of, images_seen
from gen_experiments.callbacks.protocols import Samples, Translates, images_in
from gen_experiments.errors import check_interval
from gen_experiments.grids import grid, in_rows
from gen_experiments.images import Batch, save_image, to_uint8
from gen_experiments.runs.location import run_folder

MAX_PICTURES = 4096  # in a grid
MAX_CLASSES = 16  # columns in a grid of samples by class


class Pictures(Callback):
    """At every validation, draws samples from fixed noise, in columns by class, or originals above reconstructions.

    Over data with sources, the sources are above the model's images, which are above the true images if there are any.
    The files are `images/TITLE-STEP.png` in the run's folder.

    Args:
        count: pictures in a grid.
        columns: pictures per row; for a model of classes as many columns of each class as there is room for, or one.

    Raises:
        UserError: a number out of [1, 4096].
    """

    def __init__(self, count: int = 64, columns: int = 8) -> None:
        check_interval(f"[1, {MAX_PICTURES}]", count=count, columns=columns)
        self.count, self.columns = count, columns
        self._shown: list[Tensor] = []
        self._seen, self._stride = 0, 1

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes the last validation's pictures."""
        self._shown, self._seen = [], 0
        # Images are often sorted by class.
        own = len(data_of(trainer).split("val")) // distributed.world_size()
        self._stride = max(1, own // max(1, self.count // 2))

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, *_: int
    ) -> None:
        """Keeps originals and the model's images, evenly spaced over all images."""
        missing = self.count // 2 - sum(shown.shape[0] for shown in self._shown)
        outcome = images_in(outputs)
        if missing > 0 and outcome is not None:
            chosen = slice(-self._seen % self._stride, None, self._stride)
            rows = [batch.images, outcome]
            if batch.source_images is not None:
                truth = [batch.images] if data_of(trainer).in_pairs else []
                rows = [batch.source_images, outcome, *truth]
            self._shown.append(to_uint8(torch.stack([row[chosen] for row in rows], dim=1)[:missing]))
        self._seen += len(batch.images)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws, on the first process."""
        folder = drawing_folder(trainer)
        if folder is None:
            return
        columns = self.columns
        if self._shown:
            rows = torch.cat(self._shown).unbind(1)
            title = "translations" if isinstance(pl_module, Translates) else "reconstructions"
            above = "sources" if data_of(trainer).has_source_images else "originals"
            shown = f"{above} above {title}" + (" above truths" if len(rows) > 2 else "")
            images = in_rows(*rows, columns=self.columns)
        elif isinstance(pl_module, Samples):
            title, images, columns = "samples", *self._samples(pl_module)
            shown = self._columns_of(pl_module, trainer)
        else:
            return
        write_picture(trainer, pl_module, folder, title, grid(images, columns), shown)

    def _samples(self, model: Samples) -> tuple[Tensor, int]:
        """Returns (N, C, H, W) uint8 samples and the columns of their grid; each class has its own columns."""
        if model.num_classes is None:
            return to_uint8(model.sample(0, self.count)), self.columns
        classes = _shown_classes(model.num_classes)
        row = torch.tensor(classes).repeat_interleave(self._columns_of_each(len(classes)))
        labels = row.repeat(max(1, self.count // len(row)))
        return to_uint8(model.sample(0, len(labels), labels=labels)), len(row)

    def _columns_of_each(self, classes: int) -> int:
        return max(1, self.columns // classes)

    def _columns_of(self, model: Samples, trainer: Trainer) -> str:
        """Returns what the columns of a grid of samples show."""
        if model.num_classes is None:
            return "samples"
        names = data_of(trainer).image.class_labels
        classes = _shown_classes(model.num_classes)
        width = self._columns_of_each(len(classes))
        columns = "a column" if width == 1 else f"{width} columns"
        return f"{columns} for each of {', '.join(names[label] for label in classes)}"


def _shown_classes(num_classes: int) -> list[int]:
    """Returns the classes of a grid of samples: all, or as many as there is room for, evenly spaced."""
    columns = min(num_classes, MAX_CLASSES)
    return [column * num_classes // columns for column in range(columns)]


def drawing_folder(trainer: Trainer) -> Path | None:
    """Returns the folder of pictures: None on all processes but the first, and in sanity checks.

    All processes must call it together.
    """
    folder = run_folder(trainer)
    if folder is None or trainer.sanity_checking or not trainer.is_global_zero:
        return None
    return folder / "images"


def write_picture(
    trainer: Trainer, model: LightningModule, folder: Path, title: str, picture: Tensor, shown: str
) -> None:
    """Writes a (C, H, W) uint8 picture to `TITLE-STEP.png` in a folder, and logs it; `shown` is for the caption."""
    path = save_image(picture, folder / f"{title}-{trainer.global_step:07d}.png")
    caption = f"step {trainer.global_step}, {images_seen(model)} images seen: {shown}"
    for logger in trainer.loggers:
        _log_image(logger, f"val/{title}", path, model, caption)


def _log_image(logger: Logger, name: str, path: Path, model: LightningModule, caption: str) -> None:
    """Logs a picture if the logger takes pictures."""
    if isinstance(logger, WandbLogger):
        import wandb

        # Without a step: the client keeps its own, and the images seen are the x-axis.
        row = {name: wandb.Image(str(path), caption=caption), "images_seen": images_seen(model)}
        logger.log_metrics(row)  # type: ignore[arg-type]
    elif isinstance(logger, TensorBoardLogger):
        from torchvision.io import read_image

        logger.experiment.add_image(name, read_image(str(path)), model.global_step)
