"""Training in a process of its own, which a test can signal and kill."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from forked import Forked

MODULE = [sys.executable, "-m", "gen_experiments"]
# Two processes. Without the address they look for that of the machine's name, which need not have one.
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
TORCHRUN += ["--local-addr=127.0.0.1"]
# For a process that imports modules of the tests: they stand before what this process was given, such as a copy's root.
PYTHONPATH = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])


def python(*arguments, code=None):
    """Runs a command, or Python code, to its end."""
    command = [sys.executable, "-c", code] if code else MODULE
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)


def start(*arguments, folder, **environment):
    """Starts a command in `folder`; its output goes to `output.txt` there."""
    output = folder / "output.txt"
    return Forked(arguments, folder, os.environ | {"OMP_NUM_THREADS": "1"} | environment, output, output)


def finished(folder, *arguments, environment):
    """Runs a command in `folder` to its end; returns its exit code and what it printed."""
    with tempfile.TemporaryDirectory() as beside:
        outputs = [Path(beside) / name for name in ("stdout", "stderr")]
        process = Forked(arguments, folder, environment, *outputs)
        try:
            code = process.wait(240)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, code, *(output.read_text() for output in outputs))


def fit(folder, *arguments, command="fit", code=0, **environment):
    """Trains to the end, by a user without an account; returns what was printed."""
    done = finished(folder, command, *arguments, environment=without_account(folder) | environment)
    assert done.returncode == code, done.stderr[-3000:]
    return done


def without_account(home):
    """The environment of a user of whom Weights & Biases knows nothing."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return plain | {"HOME": str(home), "NETRC": str(home / "netrc"), "OMP_NUM_THREADS": "1"}


def children(process):
    """The process numbers of a process's children that have not ended, where the system tells."""
    return _children(process.pid)


def _children(number):
    found = []
    for tasks in Path(f"/proc/{number}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, tasks.read_text().split())
    return found


def kill_all(process):
    """Kills a process that has not ended with all that it has started.

    The workers of torchrun have sessions of their own: to kill its group would leave them.
    """
    found = [process.pid] if process.poll() is None else []
    for number in found:
        found += _children(number)
    for number in found:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait()


def runs(number):
    """Whether a process has not ended."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, process, seconds=240):
    """Waits for something that a process does; returns whether it came before the process ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    kill_all(process)
    raise AssertionError(f"nothing for {seconds} s")


def said(folder: Path) -> list[str]:
    """The lines of the output so far."""
    return (folder / "output.txt").read_text().splitlines()
