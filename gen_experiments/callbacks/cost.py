"""What a training took and saw, in its checkpoints."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from gen_experiments import distributed, randomness
from gen_experiments.callbacks.changes import hash_of_images
from gen_experiments.callbacks.lookups import data_of


class Cost(Callback):
    """Adds `training` to each checkpoint: seed, precision, device, time and training images.

    `seconds` is the wall time from the set-up of `fit` to the checkpoint, validations included; `processor_seconds` is
    the CPU time of the first process without its data workers. Both are summed over all starts of a run; time after the
    last checkpoint before a kill is not counted. `processes` and `device` are those of the last start. `images` has the
    hashes of the training images of all starts (`changes.hash_of_images`).
    """

    def __init__(self) -> None:
        self._began = self._processor_began = 0.0
        self._seconds = self._processor_seconds = 0.0  # before this start
        self._images: list[str] = []  # likewise
        self._images_now: str | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Starts both clocks."""
        self._began, self._processor_began = time.perf_counter(), time.process_time()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds the cost so far."""
        device = pl_module.device
        self._images_now = self._images_now or hash_of_images(data_of(trainer))
        checkpoint["training"] = {
            "seed": randomness.announced_seed(),
            "precision": trainer.precision,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "processes": distributed.world_size(),
            "seconds": self._seconds + time.perf_counter() - self._began,
            "processor_seconds": self._processor_seconds + time.process_time() - self._processor_began,
            "images": list(dict.fromkeys([*self._images, self._images_now])),
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Continues the sums and the list; checkpoints of earlier releases have none."""
        before = checkpoint.get("training", {"seconds": 0.0, "processor_seconds": 0.0})
        self._seconds, self._processor_seconds = before["seconds"], before["processor_seconds"]
        self._images = before.get("images", [])
