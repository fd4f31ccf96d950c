"""LightningCLI for fit, validate, test and predict: each run has a folder, an evaluation and checked checkpoints."""

from typing import Any

import jsonargparse
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

# The short names of classes are known once their modules are imported.
import gen_experiments.callbacks.codes
import gen_experiments.callbacks.divergence
import gen_experiments.callbacks.nonfinite
import gen_experiments.callbacks.pictures
import gen_experiments.callbacks.predictions
import gen_experiments.callbacks.summary
import gen_experiments.callbacks.throughput
import gen_experiments.losses.adversarial
import gen_experiments.losses.lecam
import gen_experiments.losses.penalties
import gen_experiments.losses.perceptual
import gen_experiments.models.adversary
import gen_experiments.models.gan
import gen_experiments.models.prior
import gen_experiments.models.vqvae
import gen_experiments.networks.autoencoder
import gen_experiments.networks.deep_autoencoder
import gen_experiments.networks.discriminators
import gen_experiments.networks.generators
import gen_experiments.networks.patch
import gen_experiments.networks.r3gan
import gen_experiments.networks.resnet
import gen_experiments.priors.autoregressive
import gen_experiments.priors.masked
import gen_experiments.quantizers.ema
import gen_experiments.quantizers.fsq
import gen_experiments.quantizers.gradient
import gen_experiments.quantizers.hierarchy
import gen_experiments.quantizers.lfq
import gen_experiments.quantizers.residual
import gen_experiments.quantizers.simvq  # noqa: F401
from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.callbacks.tracking import go_offline_unless_reachable
from gen_experiments.models.checkpoints import check_fits, read_checkpoint
from gen_experiments.runs.folder import Run

# Stands for the run's folder in the trainer's configuration: `save_dir: RUN_DIR`, `dirpath: RUN_DIR/checkpoints`.
RUN_DIR = "RUN_DIR"


class ExperimentCLI(LightningCLI):
    """LightningCLI with a folder for each run, an evaluation, and checkpoints that are checked before they are used."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--run` and `--evaluation`, and lets the model learn the images' shape from the data."""
        parser.add_argument("--run", type=Run, default=Run())
        parser.add_lightning_class_args(Evaluation, "evaluation")
        parser.link_arguments("data.image", "model.init_args.image", compute_fn=vars, apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Leaves the configuration alone: what the user asks for outranks what a checkpoint remembers."""

    def before_instantiate_classes(self) -> None:
        """Claims the run's folder and finds the checkpoint to start from."""
        self._asked = self.config
        self.config = self.config.clone()
        chosen = self.config[self.subcommand]
        run: Run = chosen.run if isinstance(chosen.run, Run) else Run(**vars(chosen.run))
        if chosen.ckpt_path in ("last", "best"):
            chosen.ckpt_path = str(run.checkpoint(chosen.ckpt_path))
        if chosen.ckpt_path:
            read_checkpoint(chosen.ckpt_path)
        folder = str(run.new_folder())
        chosen.trainer = _place(chosen.trainer, folder)
        chosen.trainer.default_root_dir = folder
        if "WandbLogger" in str(chosen.trainer.logger):
            go_offline_unless_reachable(folder)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Has the configuration saved as it was asked for: it makes a new run, and does not point into this one's."""
        self.config = self._asked
        return super().instantiate_trainer(**kwargs)

    def after_instantiate_classes(self) -> None:
        """Refuses, before anything starts, what cannot end well."""
        path = self.config_init[self.subcommand].ckpt_path
        if path:
            check_fits(self.model, path)
        self.model.check_trainer(self.trainer)


def _place(value: Any, folder: str) -> Any:
    """Replaces `RUN_DIR` by the run's folder in every string of a configuration."""
    if isinstance(value, jsonargparse.Namespace):
        return jsonargparse.Namespace(**{key: _place(item, folder) for key, item in vars(value).items()})
    if isinstance(value, dict):
        return {key: _place(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_place(item, folder) for item in value]
    return value.replace(RUN_DIR, folder) if isinstance(value, str) else value
