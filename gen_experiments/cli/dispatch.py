"""The command line: LightningCLI for fit, validate, test and predict; plain functions for the rest."""

import atexit
import functools
import gc
import importlib
import inspect
import itertools
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docstring_parser
from jsonargparse import ActionYesNo

from gen_experiments import data, metrics
from gen_experiments.checkpoints.paths import check_images_exist, existing_checkpoint, named_checkpoint
from gen_experiments.cli.class_paths import import_packages
from gen_experiments.cli.parser import OneLineParser, in_home
from gen_experiments.cli.reporting import warning_line
from gen_experiments.errors import UserError
from gen_experiments.runs.job import is_first_process, num_processes

TRAINER_COMMANDS = ("fit", "validate", "test", "predict")
# Any other command is the function of its name, in the file of its name or in the one named here.
FILES = {"decode": "encode", "damage": "restore"}
# These share their work between the processes of torchrun.
SHARED = {"evaluate", "compare", "stats", "sample"}
# Options that name classes by their short names, and the packages of these classes.
CLASSES = {"extractor": metrics, "damage": data}
# The positional arguments of commands whose only one is not a checkpoint.
POSITIONALS = {
    "evaluate": ("evaluated", "reference"),
    "stats": ("images",),
    "damage": ("config",),
    "compare": ("runs",),
    "report": ("runs",),
    "sweep": ("file",),
}
# What is said of a first word that names nothing, before the command's file is imported, which may take seconds.
CHECKS: dict[str, Callable[[str], object]] = {
    "checkpoint": existing_checkpoint,
    "evaluated": check_images_exist,
    "images": check_images_exist,
}


def run(arguments: list[str]) -> None:
    """Runs a command line.

    Raises:
        Exception: whatever went wrong; `cli.reporting.report` says it in one line.
        SystemExit: the command line itself is wrong, or only help was asked for.
    """
    warnings.formatwarning = warning_line
    if arguments[0] in TRAINER_COMMANDS:
        _check_configs(arguments)
        with _imports():
            from gen_experiments.cli.trainer_commands import run_trainer_command

        run_trainer_command(arguments)
    else:
        _run_command(arguments[0], arguments[1:])


@contextmanager
def _imports() -> Iterator[None]:
    """Imports modules without the search for garbage, which is a tenth of the time: what they make is there to stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        _keep_imports()
    finally:
        warnings.formatwarning = warning_line  # Lightning sets another when it is imported
        if enabled:
            gc.enable()


@functools.cache
def _keep_imports() -> None:
    """Takes what was imported out of the search for garbage; once in a process, as garbage of a command must not stay.

    Whether that was done is not asked of `gc.get_freeze_count`: it counts one by one, for a tenth of a short command.
    """
    gc.freeze()
    # What is still frozen at the end is never freed, which libraries bound by nanobind (Triton 3.9) report in 30 lines.
    atexit.register(gc.unfreeze)


def _check_configs(arguments: list[str]) -> None:
    """Ends the program with code 2 if a file of --config does not exist, before Lightning is imported."""
    for word, following in itertools.pairwise([*arguments, ""]):
        option, equals, value = word.partition("=")
        file = value if equals else following
        # A configuration may also be a pipe, or YAML in the word itself.
        is_file = option in ("--config", "-c") and file.endswith((".yaml", ".yml"))
        if is_file and not Path(in_home(file)).exists():
            OneLineParser(prog=f"gen_experiments {arguments[0]}").error(f"there is no configuration at {file}")


def function_of(name: str) -> Callable[..., None]:
    """Returns the function of a command; the files of other commands, which may import more, are not imported."""
    module = importlib.import_module(f"gen_experiments.commands.{FILES.get(name, name.replace('-', '_'))}")
    function: Callable[..., None] = getattr(module, name.replace("-", "_"))
    return function


def _run_command(name: str, arguments: list[str]) -> None:
    """Runs a command's function: `POSITIONALS`, or a checkpoint, are positional arguments; all others are options."""
    positionals = POSITIONALS.get(name, ("checkpoint",))
    helps = not {"-h", "--help"}.isdisjoint(arguments)
    if positionals[0] in CHECKS and not helps and arguments and not arguments[0].startswith("-"):
        CHECKS[positionals[0]](in_home(arguments[0]))
    with _imports():
        command = function_of(name)
    parameters = inspect.signature(command).parameters
    # Only the packages whose classes are named or listed: importing one takes seconds.
    named = [option for option in CLASSES if helps or any(option in word for word in arguments)]
    import_packages(CLASSES[option] for option in named if option in parameters)
    # `--per-class` is understood as `--per_class`.
    spelled = [re.sub(r"^--[^=]+", lambda option: "--" + option[0][2:].replace("-", "_"), word) for word in arguments]
    parser = _parser_of(name, command, positionals)
    chosen = vars(parser.instantiate(parser.parse_args(spelled)))
    if num_processes() > 1 and name not in SHARED:
        raise UserError(f"{name} runs in one process: start it without torchrun")
    if "checkpoint" in positionals:
        chosen["checkpoint"] = _checkpoint(chosen["checkpoint"])
    keywords = {option if option in parameters else f"{option}_": value for option, value in chosen.items()}
    if num_processes() == 1:
        command(**keywords)
        return
    from gen_experiments.commands.devices import process_group

    with process_group():
        command(**keywords)


def _parser_of(name: str, command: Callable[..., None], positionals: tuple[str, ...]) -> OneLineParser:
    """Returns the parser of a command's function, with the descriptions of its docstring."""
    docstring = docstring_parser.parse(inspect.getdoc(command) or "")
    help_of = {parameter.arg_name: parameter.description for parameter in docstring.params}
    parser = OneLineParser(prog=f"gen_experiments {name}", description=docstring.description)
    parameters = inspect.signature(command).parameters
    for positional in positionals:
        annotation, default = parameters[positional].annotation, parameters[positional].default
        more: dict[str, Any] = {"type": annotation}
        if annotation == list[str]:
            more = {"type": str, "nargs": "+"}
        elif default is not inspect.Parameter.empty:
            more |= {"nargs": "?", "default": default}
        parser.add_argument(positional, help=help_of[positional], **more)
    # A parameter ends in an underscore where the option's name, such as `class`, is a keyword of Python.
    reserved = [key for key in parameters if key.endswith("_")]
    switches = [key for key, parameter in parameters.items() if parameter.annotation is bool]
    parser.add_function_arguments(command, skip={*positionals, *switches, *reserved}, as_group=False)
    for key in reserved:
        option, parameter = f"--{key.removesuffix('_')}", parameters[key]
        parser.add_argument(option, type=parameter.annotation, default=parameter.default, help=help_of[key])
    for key in switches:
        parser.add_argument(f"--{key}", action=ActionYesNo, default=False, help=help_of[key])
    return parser


def _checkpoint(named: str) -> str:
    """Returns the checkpoint that a path names; for a run it prints which one is taken."""
    path = named_checkpoint(named)
    if path == Path(named):
        return named
    if is_first_process():
        print(f"{named} is a run: taken is {path}")
    return str(path)
