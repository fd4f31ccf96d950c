"""`fit`, `validate`, `test` and `predict`: LightningCLI with the parser of the called command."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from gen_experiments.callbacks.tracking import SaveConfig
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.experiment import ExperimentCLI
from gen_experiments.models.base import ImageModel
from gen_experiments.parser import OneLineParser
from gen_experiments.pipes import pipes_as_files
from gen_experiments.storage import atomic_write


class ExperimentParser(OneLineParser, LightningArgumentParser):
    """LightningCLI's parser with mistakes described in one line."""

    def save(self, cfg: Namespace, path: str, *args: Any, **kwargs: Any) -> None:
        """Saves a configuration as a whole file or not at all; remote paths (with a `://`) are jsonargparse's.

        Raises:
            WriteError: the file cannot be written; the old one is intact.
        """
        if "://" in str(path):
            super().save(cfg, path, *args, **kwargs)
            return
        with atomic_write(Path(path)) as temporary:
            super().save(cfg, str(temporary), *args, **kwargs)


def run_trainer_command(arguments: list[str]) -> None:
    """Runs a command line whose first word is one of the four commands."""
    _silence()

    class OneCommandCLI(ExperimentCLI):
        """Builds the parser of this command alone: building all four takes longer than the rest of the start."""

        @staticmethod
        def subcommands() -> dict[str, set[str]]:
            return {arguments[0]: ExperimentCLI.subcommands()[arguments[0]]}

    with pipes_as_files(arguments) as words:
        OneCommandCLI(
            ImageModel,
            ImageDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            parser_class=ExperimentParser,
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
