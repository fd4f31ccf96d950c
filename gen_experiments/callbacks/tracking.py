"""Weights & Biases: axes, the resolved config, the codebook's histogram, and going offline when it must."""

import os
import urllib.error
import urllib.request
from typing import Any

import numpy as np
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger

from gen_experiments.callbacks.evaluation import Evaluation

WANDB_HISTOGRAM_BINS = 512
NETWORK_TIMEOUT = 5.0  # seconds; the client itself would try for 100 before it gives up


class Tracking(Callback):
    """Draws every W&B curve against the images seen, and logs how often each code was used.

    Runs under any logger; without W&B it does nothing.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Declares the x-axis, on the first process, where the run is."""
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and trainer.is_global_zero:
                logger.experiment.define_metric("images_seen")
                logger.experiment.define_metric("*", step_metric="images_seen")

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
                logger.experiment.log(
                    {
                        "val/codes": wandb.Histogram(np_histogram=(bins, edges)),
                        "images_seen": getattr(pl_module, "images_seen", 0),
                    }
                )


class SaveConfig(SaveConfigCallback):
    """Writes the resolved config to the run's folder and gives it, with the metrics' protocol, to every logger.

    Only of training: what scores a run leaves the run's config alone.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Writes it."""
        if stage == "fit":
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called on the first process only."""
        config: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Evaluation):
                config["protocol"] = callback.protocol()
        for logger in trainer.loggers:
            logger.log_hyperparams(config)


def go_offline_unless_reachable(folder: str) -> None:
    """Sets `WANDB_MODE=offline`, and says so in one line, where there is no API key or no network.

    What the user has set in `WANDB_MODE` stands. An answer of any kind from the server counts as a network, so proxies
    and private servers (`WANDB_BASE_URL`) work.

    Args:
        folder: the run's folder, for the line that says how to upload later.
    """
    if os.environ.get("WANDB_MODE"):
        return
    reason = _offline_reason()
    if reason:
        os.environ["WANDB_MODE"] = "offline"
        print(
            f"Weights & Biases: {reason}, so this run is logged offline; upload it later by "
            f"`wandb login && wandb sync {folder}/wandb/offline-run-*`"
        )


def _offline_reason() -> str | None:
    import wandb
    from requests.utils import get_netrc_auth

    settings = wandb.setup().settings
    wandb.teardown()  # or the client would keep settings from before the mode is set
    if not (settings.api_key or settings.identity_token_file or get_netrc_auth(settings.base_url)):
        return "no API key was found"
    try:
        urllib.request.urlopen(settings.base_url, timeout=NETWORK_TIMEOUT)
    except urllib.error.HTTPError:
        return None
    except OSError:
        return f"{settings.base_url} cannot be reached"
    return None
