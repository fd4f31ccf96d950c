"""The score that chooses the best checkpoint if there is no meaningful FID."""

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from gen_experiments.callbacks.lookups import callbacks_of

FID_SCORES = ("val/fid", "val/rfid")


def choose_best_without_fid(trainer: Trainer, score: tuple[str, str] | None) -> None:
    """Replaces the FID as the `monitor` of checkpoints by another score, or removes the callback; prints which.

    The score is a name such as `val/psnr`, and `min` or `max` for which values are better; None for no score.
    """
    chosen = [callback for callback in callbacks_of(trainer, ModelCheckpoint) if callback.monitor in FID_SCORES]
    if score is None:
        # A new list: Lightning may be going through the old one.
        left = [callback for callback in callbacks_of(trainer, Callback) if callback not in chosen]
        trainer.callbacks = left  # type: ignore[attr-defined]
    else:
        for callback in chosen:
            callback.monitor, callback.mode = score
            callback.kth_value = torch.tensor(torch.inf if callback.mode == "min" else -torch.inf)
    if chosen and trainer.training and trainer.is_global_zero:
        by = "there is no best checkpoint, only the last" if score is None else f"best is by {score[0]}"
        print(f"no FID chooses a checkpoint: {by}", flush=True)
