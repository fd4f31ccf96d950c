"""Writes the scores of `validate` and `test` into the folder of the run."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.callbacks.lookups import callbacks_of
from gen_experiments.errors import UserError
from gen_experiments.runs.table import CsvTable


class Scores(Callback):
    """Appends a row to `scores.csv`: the checkpoint, its step and images seen, the protocol and every score.

    Args:
        folder: the run's folder, or that of the checkpoint.
        checkpoint: the scored file.
        step: training iterations of the checkpoint.
    """

    def __init__(self, folder: Path, checkpoint: Path, step: int) -> None:
        self.table = CsvTable(folder / "scores.csv")
        self.checkpoint, self.step = checkpoint, step

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the scores of the split."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        row: dict[str, object] = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row |= {"checkpoint": self.checkpoint.name, "step": self.step, "images_seen": pl_module.images_seen}
        for callback in callbacks_of(trainer, Evaluation):
            row |= {f"protocol/{name}": value for name, value in callback.protocol().items()}
        try:
            self.table.append(row)
        except UserError as error:
            # The scores are on the screen; the folder of somebody else's checkpoint may be read-only.
            print(f"the scores are not kept: {error}", flush=True)
        else:
            print(f"the scores were added to {self.table.path}", flush=True)

    on_test_end = on_validation_end
