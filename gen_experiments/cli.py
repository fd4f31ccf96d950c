"""The command line: LightningCLI for fit, validate, test and predict; plain functions for the rest."""

import inspect
import logging
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import docstring_parser
import jsonargparse
from lightning.fabric.utilities.exceptions import MisconfigurationException
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
from gen_experiments.callbacks.tracking import SaveConfig, go_offline_unless_reachable
from gen_experiments.commands.augment_score import augment_score
from gen_experiments.commands.encode import decode, encode
from gen_experiments.commands.explore import explore
from gen_experiments.commands.inpaint import inpaint
from gen_experiments.commands.interpolate import interpolate
from gen_experiments.commands.memorisation import memorisation
from gen_experiments.commands.project import project
from gen_experiments.commands.reconstruct import reconstruct
from gen_experiments.commands.sample import sample
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.models.base import ImageModel
from gen_experiments.models.checkpoints import check_fits, read_checkpoint
from gen_experiments.parser import ExperimentParser, OneLineParser
from gen_experiments.runs import Run

COMMANDS: dict[str, Callable[..., None]] = {
    "sample": sample,
    "reconstruct": reconstruct,
    "interpolate": interpolate,
    "explore": explore,
    "project": project,
    "memorisation": memorisation,
    "augment-score": augment_score,
    "inpaint": inpaint,
    "encode": encode,
    "decode": decode,
}
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


def run(arguments: list[str]) -> None:
    """Runs a command line.

    Raises:
        UserError: a mistake that the user can mend.
        SystemExit: the command line itself is wrong, or only help was asked for.
    """
    if arguments[0] in COMMANDS:
        _run_command(arguments[0], arguments[1:])
        return
    _silence()
    try:
        ExperimentCLI(
            ImageModel,
            ImageDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            parser_class=ExperimentParser,
            save_config_callback=SaveConfig,
            # Lightning warns where it is handed what it would read by itself.
            args=None if arguments == sys.argv[1:] else arguments,
        )
    except MisconfigurationException as error:
        raise UserError(" ".join(str(error).split())) from error
    except ValueError as error:
        # jsonargparse buries what a constructor says under every alternative that its type allows.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, UserError):
            cause = cause.__cause__
        raise cause or error from None


def _run_command(name: str, arguments: list[str]) -> None:
    """Runs a function over a checkpoint: the checkpoint is the one positional argument, all others are options."""
    command = COMMANDS[name]
    told = docstring_parser.parse(inspect.getdoc(command) or "")
    parser = OneLineParser(prog=f"gen_experiments {name}", description=told.short_description)
    parser.add_argument("checkpoint", type=str, help="a checkpoint that fit wrote")
    # A parameter that ends in an underscore is an option whose name, such as `class`, Python keeps for itself.
    parameters = inspect.signature(command).parameters
    reserved = {name.removesuffix("_"): parameters[name] for name in parameters if name.endswith("_")}
    skipped: set[str | int] = {"checkpoint", *(parameter.name for parameter in reserved.values())}
    parser.add_function_arguments(command, skip=skipped, as_group=False)
    help_of = {parameter.arg_name: parameter.description for parameter in told.params}
    for option, parameter in reserved.items():
        parser.add_argument(
            f"--{option}", type=parameter.annotation, default=parameter.default, help=help_of[parameter.name]
        )
    # `--per-class` is understood as `--per_class`.
    spelled = [re.sub(r"^--[^=]+", lambda option: "--" + option[0][2:].replace("-", "_"), word) for word in arguments]
    chosen = vars(parser.instantiate(parser.parse_args(spelled)))
    command(**{reserved[key].name if key in reserved else key: value for key, value in chosen.items()})


def _silence() -> None:
    """Turns off what Lightning says about itself: what it offers for sale, and what is meant to be as it is."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric.utilities.rank_zero").setLevel(logging.WARNING)
    for message in (
        r".*isinstance\(treespec, LeafSpec\).*",
        r"Found .* module\(s\) in eval mode",  # moving averages and extractors
        r".*tensorboardX.*",
        r"Experiment logs directory .* exists and is not empty",  # the run's own folder, which was made just now
        r"The number of training batches .* is smaller than the logging interval",  # intervals are counted over epochs
        r"Using ModelCheckpoint with manual optimization",
        r"The dirpath has changed from",  # a resumed run has a folder of its own
    ):
        warnings.filterwarnings("ignore", message=message)


def _place(value: Any, folder: str) -> Any:
    """Replaces `RUN_DIR` by the run's folder in every string of a configuration."""
    if isinstance(value, jsonargparse.Namespace):
        return jsonargparse.Namespace(**{key: _place(item, folder) for key, item in vars(value).items()})
    if isinstance(value, dict):
        return {key: _place(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_place(item, folder) for item in value]
    return value.replace(RUN_DIR, folder) if isinstance(value, str) else value
