"""The lines that the command line prints for warnings and errors."""

import os
import re
import sysconfig
import traceback
from collections.abc import Iterator

from gen_experiments.cli.mistakes import one_line
from gen_experiments.cli.printing import print_error
from gen_experiments.errors import UserError, shortened

DEBUG_VARIABLE = "GEN_EXPERIMENTS_DEBUG"
TOO_LARGE = "a size asks for more memory than this machine has"
# What to do, before the message of another library, by what that message holds.
ADVICE = (
    # Of torch where the memory for a tensor is missing.
    (
        re.compile(
            r"can't allocate memory|not enough memory|out of memory|Storage size calculation overflowed|invalid size"
            r"|integer multiplication overflow"
        ),
        TOO_LARGE,
    ),
    # Where another process of the run has ended: gloo's, NCCL's, and those of the key-value store.
    (
        re.compile(r"gloo/transport|monitoredBarrier|remote process exited|Did the remote server shutdown"),
        "another process of this run has ended or cannot be reached, see what it printed last",
    ),
    # Of torch's compiler and of Triton's.
    (
        re.compile(r"No working C\+\+ compiler found|Failed to find C compiler"),
        "compiled networks need a C++ compiler: install one, such as g++, or leave out model.compile",
    ),
    # Lightning's where a recipe was not laid over its model's configuration, which counts iterations.
    (
        re.compile(r"`val_check_interval` .* the number of the training batches"),
        "validations after a number of iterations that is longer than an epoch need "
        "trainer.check_val_every_n_epoch=null, as the configurations of models have it: give such a file, as in "
        "--config configs/gan.yaml, before the one of a recipe",
    ),
    (
        re.compile(r"when `check_val_every_n_epoch=None`"),
        "validations after a share of an epoch need trainer.check_val_every_n_epoch=1: set it, or count iterations",
    ),
    (
        re.compile(r"`enable_checkpointing=False`|`Trainer\(barebones=True"),
        "a run keeps checkpoints and curves: leave this option out, or try a run by --trainer.fast_dev_run=true, of "
        "which nothing is kept",
    ),
)
# Code that is neither this project's nor the user's: the standard library and installed packages.
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def report(error: BaseException) -> None:
    """Prints an error as one line to stderr, after the full traceback where `$GEN_EXPERIMENTS_DEBUG` asks for it."""
    if os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0"):
        traceback.print_exception(error)
    print_error(error_line(error))


def error_line(error: BaseException) -> str:
    """Returns an error as one line: the message of a `UserError`, else class, message and place."""
    mistake = next((link for link in _chain(error) if isinstance(link, UserError)), None)
    if mistake is not None:
        return shortened(str(mistake))
    *_, root = _chain(error, causes_alone=True)
    message = one_line(str(root)) if str(root).strip() else ""
    advice = next((text for pattern, text in ADVICE if pattern.search(message)), None)
    if isinstance(root, MemoryError):
        message = f"{TOO_LARGE}; {message}"
    elif advice is not None:
        message = f"{advice}; {message}"
    elif isinstance(root, RecursionError):
        message = f"a value is nested too deeply; {message}"
    elif isinstance(root, OSError) and root.strerror and root.filename is not None:
        message = shortened(f"{root.strerror}: {root.filename!s}")
    kind, place = type(root).__name__, _place(root)
    text = f"{kind}: {message}" if message else kind
    return f"{text} ({place}{DEBUG_VARIABLE}=1 prints the traceback)"


def warning_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Returns a warning as one line, for `warnings.formatwarning`.

    A `UserWarning` is meant for the user and needs no place; any other warning keeps where it was raised.
    """
    raised = f" ({category.__name__}, {os.path.basename(filename)}:{lineno})"
    place = "" if issubclass(category, UserWarning) else raised
    return f"warning: {' '.join(str(message).split())}{place}\n"


def _chain(error: BaseException, causes_alone: bool = False) -> Iterator[BaseException]:
    """Returns an error and the errors that led to it, the last first, or only what was raised `from` what."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if causes_alone or link.__suppress_context__ else link.__context__)


def _place(error: BaseException) -> str:
    """Returns the innermost function of this project or of the user's own code that the error passed through."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if file.startswith(PACKAGE) or not file.startswith((*LIBRARIES, "<")):
            place = f"in {frame.f_code.co_qualname}, {os.path.basename(file)}:{line}; "
    return place
