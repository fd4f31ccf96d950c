"""Logs the resolved config, and how often each code was used."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger

from gen_experiments import __version__
from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.callbacks.lookups import callbacks_of, data_of, images_seen
from gen_experiments.callbacks.wandb_logger import WandbRun
from gen_experiments.runs.record import RunRecord
from gen_experiments.storage import atomic_write

WANDB_HISTOGRAM_BINS = 512


class Tracking(Callback):
    """Logs to Weights & Biases how often each code was used; under other loggers it does nothing."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the histogram of the codes of a model that counted them."""
        counts = getattr(pl_module, "code_counts", None)
        if counts is None or not trainer.is_global_zero or trainer.sanity_checking:
            return
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                import wandb

                edges = np.linspace(0, counts.numel(), min(counts.numel(), WANDB_HISTOGRAM_BINS) + 1)
                bins, _ = np.histogram(np.arange(counts.numel()), bins=edges, weights=counts.cpu().numpy())
                logger.log_metrics(
                    {
                        "val/codes": wandb.Histogram(np_histogram=(bins, edges)),  # type: ignore[dict-item]
                        "images_seen": images_seen(pl_module),
                    }
                )


class SaveConfig(SaveConfigCallback):
    """Writes the resolved config to the run's folder and gives it, with further facts, to every logger.

    The facts are the metrics' protocol, the images of each split, the parameters of each part of the model, the version
    of the package, the commit of the working folder and the files of weights that the run began with. Only `fit` does
    so: scoring a run keeps its config as it is.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Writes the config if the command trains."""
        if stage == "fit":
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Writes and logs the config; Lightning calls it on the first process only."""
        text = self.parser.dump(self.config, skip_unset=False)
        # A logger may have no folder, or one of its own.
        with atomic_write(Path(trainer.default_root_dir) / self.config_filename) as path:
            path.write_text(text, encoding="utf-8")
        config: dict[str, Any] = yaml.safe_load(text)
        for callback in callbacks_of(trainer, Evaluation):
            config["protocol"] = callback.protocol()
        config["images"] = data_of(trainer).facts()
        config["parameters"] = parameters(pl_module)
        config["code"] = {"gen_experiments": __version__, **commit(Path.cwd())}
        record = RunRecord.read(Path(trainer.default_root_dir))
        if record is not None and record.began_with:
            config["began_with"] = record.began_with
        for logger in trainer.loggers:
            logger.log_hyperparams(config)
            if isinstance(logger, WandbRun):
                logger.log_inputs({"dataset": config["images"], "reference-statistics": config.get("protocol", {})})


def parameters(model: LightningModule) -> dict[str, int]:
    """Returns the number of parameters of each part of a model, and how many of all of them are trained."""
    counts = {name: sum(weight.numel() for weight in part.parameters()) for name, part in model.named_children()}
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return {name: count for name, count in counts.items() if count} | {"trained": trained}


def commit(folder: Path) -> dict[str, str | bool]:
    """Returns the commit of a folder and whether tracked files differ from it; empty if the folder is not under git."""
    try:
        state = [
            subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"git_commit": state[0].strip(), "git_changed": bool(state[1].strip())}
