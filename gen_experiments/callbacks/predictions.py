"""Writes what `predict` makes."""

import re
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.images import save_image, to_uint8
from gen_experiments.runs.location import run_folder

NAME = re.compile(r"\d{5,}-\d+-\d{3,}\.png")


class WritePredictions(BasePredictionWriter):
    """Writes each predicted image to `predictions/BATCH-RANK-NUMBER.png` in the run's folder.

    Earlier predictions are removed first: another number of processes or images gives others names.
    """

    def __init__(self) -> None:
        super().__init__(write_interval="batch")
        self._folder = Path()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Asks where the run lies, which all processes must do together."""
        super().setup(trainer, pl_module, stage)
        self._folder = (run_folder(trainer) or Path(trainer.default_root_dir)) / "predictions"

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes earlier predictions, which would be taken for those of this checkpoint."""
        if trainer.is_global_zero:
            for path in self._folder.glob("*.png"):
                if NAME.fullmatch(path.name):
                    path.unlink()
        trainer.strategy.barrier()

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Tensor,
        batch_indices: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Writes a batch."""
        for number, image in enumerate(to_uint8(prediction)):
            save_image(image, self._folder / f"{batch_idx:05d}-{distributed.rank()}-{number:03d}.png")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Says where they are."""
        if trainer.is_global_zero:
            print(f"wrote the images to {self._folder}")
