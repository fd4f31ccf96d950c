"""Pictures of what the model makes, as PNG files in the run's folder and in the loggers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from torch import Tensor

from gen_experiments.callbacks.protocols import Samples
from gen_experiments.images import Batch, grid, pairs_in_rows, save_image, to_uint8


class Pictures(Callback):
    """At every validation, draws samples from fixed noise, or originals above their reconstructions.

    Files go to `images/STEP.png` in the run's folder.

    Args:
        count: pictures in a grid.
        columns: pictures in a row.
    """

    def __init__(self, count: int = 64, columns: int = 8) -> None:
        self.count, self.columns = count, columns
        self._pairs: list[Tensor] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forgets the last validation's pictures."""
        self._pairs = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, *_: int
    ) -> None:
        """Keeps the first originals and reconstructions."""
        missing = self.count // 2 - sum(pairs.shape[0] for pairs in self._pairs)
        if missing > 0 and isinstance(outputs, Mapping) and "reconstructions" in outputs:
            pairs = torch.stack([batch.images[:missing], outputs["reconstructions"][:missing]], dim=1)
            self._pairs.append(to_uint8(pairs))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws, on the first process."""
        folder = trainer.log_dir
        if trainer.sanity_checking or not trainer.is_global_zero or folder is None:
            return
        if self._pairs:
            originals, remade = torch.cat(self._pairs).unbind(1)
            title, images = "reconstructions", pairs_in_rows(originals, remade, self.columns)
        elif isinstance(pl_module, Samples):
            title, images = "samples", to_uint8(pl_module.sample(0, self.count))
        else:
            return
        path = save_image(
            grid(images, self.columns).cpu(), Path(folder) / "images" / f"{title}-{trainer.global_step:07d}.png"
        )
        for logger in trainer.loggers:
            _log_image(logger, f"val/{title}", path, pl_module)


def _log_image(logger: Logger, name: str, path: Path, model: LightningModule) -> None:
    """Gives a picture to the loggers that take pictures; the file is there for all others."""
    if isinstance(logger, WandbLogger):
        import wandb

        # Without a step: the client keeps its own, and the images seen are the x-axis.
        logger.experiment.log({name: wandb.Image(str(path)), "images_seen": getattr(model, "images_seen", 0)})
    elif isinstance(logger, TensorBoardLogger):
        from torchvision.io import read_image

        logger.experiment.add_image(name, read_image(str(path)), model.global_step)
