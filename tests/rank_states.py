"""A callback for tests: writes what each process holds at the end of training."""

from pathlib import Path

import torch
from lightning.pytorch import Callback


class SaveRankState(Callback):
    """Saves the model's state of every process to `FOLDER/rank-N.pt`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def on_train_end(self, trainer, pl_module) -> None:
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        torch.save(pl_module.state_dict(), Path(self.folder) / f"rank-{trainer.global_rank}.pt")
