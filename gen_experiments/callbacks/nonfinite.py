"""Stops a run whose loss or weights are NaN or infinite, before it overwrites a good checkpoint."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.callbacks.lookups import callbacks_of
from gen_experiments.callbacks.throughput import is_logged
from gen_experiments.errors import UserError


class StopOnNonFinite(Callback):
    """Ends training with one line when the loss of any process is NaN or infinite.

    The test stays on the device. It is read when values are logged, before every validation and before every
    checkpoint, so that no broken checkpoint is written.

    Raises:
        UserError: the loss is not finite.
    """

    def __init__(self) -> None:
        self._broken: Tensor | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Remembers whether the loss was finite."""
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        broken = ~torch.isfinite(loss.detach()).all()
        self._broken = broken if self._broken is None else self._broken | broken
        if is_logged(trainer):
            self._check(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks before the validation."""
        self._check(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Checks loss and weights before a checkpoint is written: a step from a finite loss may break the weights."""
        weights = [value for value in pl_module.state_dict().values() if value.is_floating_point()]
        finite = torch.stack([torch.isfinite(value).all() for value in weights]).all()
        self._broken = ~finite if self._broken is None else self._broken | ~finite
        self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        if self._broken is None:
            return
        broken = bool(distributed.all_reduce_sum(self._broken.int()))
        self._broken = None
        if broken:
            paths = [callback.best_model_path for callback in callbacks_of(trainer, ModelCheckpoint)]
            good = next((path for path in reversed(paths) if path), "none, as none was written yet")
            raise UserError(
                f"the loss or a weight became NaN or infinite by step {trainer.global_step}: lower the learning rate "
                f"or clip the gradient; the last good checkpoint is {good}"
            )
