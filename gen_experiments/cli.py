"""The command line: LightningCLI for fit, validate, test and predict; plain functions for the rest."""

import inspect
import logging
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docstring_parser
from jsonargparse import ActionYesNo

from gen_experiments import data, metrics
from gen_experiments.callbacks.tracking import SaveConfig
from gen_experiments.checkpoint_paths import named_checkpoint
from gen_experiments.commands.augment_score import augment_score
from gen_experiments.commands.compare import compare
from gen_experiments.commands.demo import demo
from gen_experiments.commands.devices import num_processes, process_group
from gen_experiments.commands.encode import decode, encode
from gen_experiments.commands.evaluate import evaluate
from gen_experiments.commands.explore import explore
from gen_experiments.commands.export import export
from gen_experiments.commands.inpaint import inpaint
from gen_experiments.commands.interpolate import interpolate
from gen_experiments.commands.memorisation import memorisation
from gen_experiments.commands.project import project
from gen_experiments.commands.reconstruct import reconstruct
from gen_experiments.commands.report import report
from gen_experiments.commands.restore import damage, restore
from gen_experiments.commands.sample import sample
from gen_experiments.commands.stats import stats
from gen_experiments.commands.sweep import sweep
from gen_experiments.commands.translate import translate
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.experiment import ExperimentCLI, import_packages
from gen_experiments.models.base import ImageModel
from gen_experiments.parser import ExperimentParser, OneLineParser
from gen_experiments.pipes import pipes_as_files
from gen_experiments.reporting import warning_line
from gen_experiments.runs.job import is_first_process

COMMANDS: dict[str, Callable[..., None]] = {
    "sample": sample,
    "reconstruct": reconstruct,
    "translate": translate,
    "restore": restore,
    "damage": damage,
    "interpolate": interpolate,
    "explore": explore,
    "project": project,
    "memorisation": memorisation,
    "augment-score": augment_score,
    "inpaint": inpaint,
    "encode": encode,
    "decode": decode,
    "export": export,
    "demo": demo,
    "evaluate": evaluate,
    "stats": stats,
    "compare": compare,
    "report": report,
    "sweep": sweep,
}
# These share their work between the processes of torchrun.
SHARED = {"evaluate", "compare", "stats", "sample"}
# An option, or a configuration that a command reads, may name the classes of these packages by their short names.
PACKAGES = (data, metrics)
# The positional arguments of commands whose only one is not a checkpoint.
POSITIONALS = {
    "evaluate": ("evaluated", "reference"),
    "stats": ("images",),
    "damage": ("config",),
    "compare": ("runs",),
    "report": ("runs",),
    "sweep": ("file",),
}


def run(arguments: list[str]) -> None:
    """Runs a command line.

    Raises:
        Exception: whatever went wrong; `reporting.report` says it in one line.
        SystemExit: the command line itself is wrong, or only help was asked for.
    """
    warnings.formatwarning = warning_line
    if arguments[0] in COMMANDS:
        _run_command(arguments[0], arguments[1:])
        return
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
            save_config_kwargs={"overwrite": True},
            # Lightning warns if it is given the arguments that it would read by itself.
            args=None if words == sys.argv[1:] else words,
        )


def _run_command(name: str, arguments: list[str]) -> None:
    """Runs a command's function: `POSITIONALS`, or a checkpoint, are positional arguments; all others are options."""
    command = COMMANDS[name]
    docstring = docstring_parser.parse(inspect.getdoc(command) or "")
    parser = OneLineParser(prog=f"gen_experiments {name}", description=docstring.short_description)
    # A parameter ends in an underscore where the option's name, such as `class`, is a keyword of Python.
    parameters = inspect.signature(command).parameters
    help_of = {parameter.arg_name: parameter.description for parameter in docstring.params}
    import_packages(PACKAGES)
    positionals = POSITIONALS.get(name, ("checkpoint",))
    for place in positionals:
        more: dict[str, Any] = {"type": parameters[place].annotation}
        if parameters[place].annotation == list[str]:
            more = {"type": str, "nargs": "+"}
        elif parameters[place].default is not inspect.Parameter.empty:
            more |= {"nargs": "?", "default": parameters[place].default}
        parser.add_argument(place, help=help_of[place], **more)
    reserved = {name.removesuffix("_"): parameters[name] for name in parameters if name.endswith("_")}
    switches = [parameter.name for parameter in parameters.values() if parameter.annotation is bool]
    skipped: set[str | int] = {*positionals, *switches, *(parameter.name for parameter in reserved.values())}
    parser.add_function_arguments(command, skip=skipped, as_group=False)
    for option, parameter in reserved.items():
        parser.add_argument(
            f"--{option}", type=parameter.annotation, default=parameter.default, help=help_of[parameter.name]
        )
    for switch in switches:
        parser.add_argument(f"--{switch}", action=ActionYesNo, default=False, help=help_of[switch])
    # `--per-class` is understood as `--per_class`.
    spelled = [re.sub(r"^--[^=]+", lambda option: "--" + option[0][2:].replace("-", "_"), word) for word in arguments]
    chosen = vars(parser.instantiate(parser.parse_args(spelled)))
    if num_processes() > 1 and name not in SHARED:
        raise UserError(f"{name} runs in one process: start it without torchrun")
    if "checkpoint" in positionals:
        chosen["checkpoint"] = _checkpoint(chosen["checkpoint"])
    with process_group():
        command(**{reserved[key].name if key in reserved else key: value for key, value in chosen.items()})


def _checkpoint(named: str) -> str:
    """Returns the checkpoint that a path names; for a run it prints which one is taken."""
    path = named_checkpoint(named)
    if path == Path(named):
        return named
    if is_first_process():
        print(f"{named} is a run: taken is {path}")
    return str(path)


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
