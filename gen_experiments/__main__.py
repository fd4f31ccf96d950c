"""`python -m gen_experiments`: the entry point. It imports nothing heavy before it knows the command."""

import difflib
import io
import os
import select
import signal
import sys

from gen_experiments import __version__
from gen_experiments.cli.printing import print_error
from gen_experiments.cli.stopping import Terminated, say_stopped, stopped_by_signals
from gen_experiments.cores import limit_threads
from gen_experiments.errors import Stopped, shortened

COMMANDS = {
    "fit": "train a model",
    "validate": "score a checkpoint on the validation split",
    "test": "score a checkpoint on the test split",
    "predict": "write a checkpoint's reconstructions or samples of the test split as PNG files",
    "sample": "write images that a checkpoint generates",
    "reconstruct": "write given images beside a checkpoint's reconstructions, and how close they are",
    "translate": "turn the pictures of a folder into others, by their names or as a grid",
    "restore": "restore the damaged pictures of a folder",
    "damage": "damage the pictures of a folder as a configuration's training would",
    "interpolate": "write interpolations between samples of a GAN, as a grid or an animation",
    "explore": "write samples moved along a GAN's semantic directions",
    "project": "find the noise from which a GAN makes given images",
    "memorisation": "count samples that are near-copies of training images",
    "augment-score": "train a classifier on real, on generated and on both kinds of images, and compare",
    "inpaint": "fill the covered part of given images by a prior",
    "encode": "write the codes of given images: a VQ-VAE as a compressor",
    "decode": "make images from codes",
    "export": "write a checkpoint as safetensors, ONNX and torch.export files, for other programs",
    "demo": "serve a page on this machine: samples, interpolations, reconstructions, inpainting",
    "evaluate": "score a checkpoint, a run, a folder or samples against others by every metric",
    "compare": "print the scores of several runs beside each other, ranked only under equal protocols",
    "report": "write one page with the curves, pictures, scores and configurations of runs",
    "sweep": "run the trials of a W&B sweep on this machine, without a server",
    "stats": "write the statistics of images as other tools read them",
}

READER_GONE = 141  # the exit code that a shell gives a process that SIGPIPE has ended

HELP = """usage: gen_experiments COMMAND [OPTIONS]    (python -m gen_experiments works too)

{commands}

  gen_experiments fit --config configs/vqvae.yaml
  gen_experiments fit --config configs/gan.yaml --config configs/data/mnist.yaml --trainer.devices=2
  gen_experiments sample runs/gan/version_0/checkpoints/best.ckpt --num 64 --out grid.png

`gen_experiments COMMAND --help` lists a command's options; `--version` prints the version."""


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line and returns its exit code.

    The code is 0 for success, 1 for a mistake in data or values, 2 for a mistake in the words of the command line, 130
    after Ctrl-C, 143 after SIGTERM, 138 after SIGUSR1, and 141 if the program that read the output, such as `head`, has
    ended. An error is printed as one line; `GEN_EXPERIMENTS_DEBUG=1` adds the traceback.
    """
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes stdout at its end: what is left goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    return code


def _run(arguments: list[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        # The name of a file need not be text: what a terminal cannot show is escaped.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not arguments or arguments[0] not in COMMANDS:
        return _answer(arguments)
    if "SLURM_JOB_ID" in os.environ:
        # SLURM sends it before the time limit. It is blocked until a run handles it: unhandled it ends the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    limit_threads()
    try:
        with stopped_by_signals():
            from gen_experiments.cli.dispatch import run

            run(arguments)
    except (KeyboardInterrupt, SystemExit) as end:
        # Lightning answers an interruption by an exit with code 1.
        interruption = end.__context__ if isinstance(end, SystemExit) else end
        if isinstance(interruption, BrokenPipeError):  # rich's answer to it
            return READER_GONE
        if not isinstance(interruption, KeyboardInterrupt):
            sys.stdout.flush()  # or the interpreter would, and print an error where nobody reads any more
            raise
        return say_stopped(interruption.number if isinstance(interruption, Terminated) else signal.SIGINT)
    except Stopped as stop:
        if stop.code:
            print(stop, file=sys.stderr)
        return stop.code
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            raise
        from gen_experiments.cli.reporting import report

        report(error)
        return 1
    return 0


def _answer(arguments: list[str]) -> int:
    """Prints the help, the version, or that there is no such command; returns the exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP.format(commands="\n".join(f"  {name:14} {text}" for name, text in COMMANDS.items())))
        return 0
    if arguments[0] == "--version":
        print(__version__)
        return 0
    near = difflib.get_close_matches(arguments[0], COMMANDS, 1)
    hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
    print_error(shortened(f"there is no command {arguments[0]}; {hint}"))
    return 2


def _reader_is_gone() -> bool:
    """Returns whether nobody reads stdout any more: a `BrokenPipeError` may also come from another pipe."""
    try:
        watched = select.poll()
        watched.register(sys.stdout.fileno(), select.POLLOUT)
    except (AttributeError, OSError):  # the system has no `poll`, or stdout is no file
        return False
    return any(event & select.POLLERR for _, event in watched.poll(0))


if __name__ == "__main__":
    sys.exit(main())
