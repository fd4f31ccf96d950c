"""`fit`, `validate`, `test` and `predict`: LightningCLI with the parser of the called command."""

import logging
import sys
import warnings
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from gen_experiments.callbacks.tracking import SaveConfig, values_of
from gen_experiments.cli.experiment import ExperimentCLI
from gen_experiments.cli.parser import OneLineParser
from gen_experiments.cli.pipes import pipes_as_files
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.models.base import ImageModel

TRAINS_FROM = (
    "last resumes the newest run of this name and seed, in its folder. A file, a run, or best (the best checkpoint of "
    "the newest run of this name and seed) begins a new run from that checkpoint, with its optimizers and step."
)
SCORES = "what is scored: a checkpoint, a run (its best checkpoint), or best or last of the newest run of this name."


class ExperimentParser(OneLineParser, LightningArgumentParser):
    """LightningCLI's parser with mistakes described in one line."""

    def dump(self, namespace: Namespace, *args: Any, **kwargs: Any) -> str:
        """Returns the text of a configuration, which was checked when it was read: to check it again takes long."""
        text: str = super().dump(namespace, *args, **{"skip_validation": True, **kwargs})
        return text


def run_trainer_command(arguments: list[str]) -> None:
    """Runs a command line whose first word is one of the four commands."""
    _silence()

    class OneCommandCLI(ExperimentCLI):
        """Builds the parser of this command alone: building all four takes longer than the rest of the start."""

        @staticmethod
        def subcommands() -> dict[str, set[str]]:
            return {arguments[0]: ExperimentCLI.subcommands()[arguments[0]]}

        def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
            """Says what `--ckpt_path` means here instead of what it means to Lightning's trainer."""
            parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
            for action in parser._actions:
                if action.dest == "ckpt_path":
                    action.help = TRAINS_FROM if subcommand == "fit" else SCORES
            return parser

        def _dump_config(self) -> None:
            """Keeps what is saved as hyperparameters; Lightning reads the same text by a slower reader."""
            if not hasattr(self, "config_dump"):
                text = self.parser.dump(self.config, skip_link_targets=False, skip_unset=False)
                self.config_dump = values_of(text)[arguments[0]]

    with pipes_as_files(arguments) as words:
        OneCommandCLI(
            ImageModel,
            ImageDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            parser_class=ExperimentParser,
            parser_kwargs={"prog": "gen_experiments"},
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            # Lightning warns if it is given the arguments that it would read by itself.
            args=None if words == sys.argv[1:] else words,
        )


def _silence() -> None:
    """Turns off Lightning's advertisements and its warnings of what is intended here."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric.utilities.rank_zero").setLevel(logging.WARNING)
    for message in (
        r"The `srun` command is available",  # without it Lightning starts the processes, see `runs.job`
        r".*isinstance\(treespec, LeafSpec\).*",
        r"Found .* module\(s\) in eval mode",  # moving averages and extractors
        r".*tensorboardX.*",
        r"Experiment logs directory .* exists and is not empty",  # the run's own folder, which was made just now
        r"The number of training batches .* is smaller than the logging interval",  # intervals are counted over epochs
        r"Couldn't infer the batch indices",  # what `predict` writes is numbered without them
        r"Using ModelCheckpoint with manual optimization",
        r"Checkpoint directory .* exists and is not empty",  # that of the run that goes on
        r"The dirpath has changed from",  # what it says is not reloaded is so where it matters (`callbacks.resumption`)
        r"It is recommended to use `self\.log\(.*sync_dist=True",  # whatever is logged is the same on all processes
    ):
        warnings.filterwarnings("ignore", message=message)
