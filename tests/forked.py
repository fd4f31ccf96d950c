"""Commands in processes of their own that are forked from a server, which has imported what all of them import.

A new interpreter computes for four seconds before it reaches the command. The processes are real: they have a number,
take signals, can be killed, and share nothing with the tests. What a start itself does is tested by `processes.python`.
"""

import atexit
import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

# The server imports them once. Nothing of ours: it may have been started in any folder.
multiprocessing.set_forkserver_preload(["lightning.pytorch", "torchmetrics", "torchvision", "pytest"])


class Forked:
    """`python -m gen_experiments` with these arguments, as `subprocess.Popen` starts and controls a process.

    Args:
        arguments: of the command line.
        folder: where it runs.
        environment: all of its environment.
        stdout, stderr: files or terminals that its output is appended to; they may be one.
    """

    def __init__(self, arguments, folder, environment, stdout, stderr):
        given = ([*map(str, arguments)], str(folder), dict(environment), str(stdout), str(stderr))
        self._process = multiprocessing.get_context("forkserver").Process(target=_run, args=given)
        self._process.start()
        self.pid = self._process.pid

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("gen_experiments", timeout)
        return self._process.exitcode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def _run(arguments, folder, environment, stdout, stderr):
    """Makes the process what a new one would be, and runs the package as `python -m` does."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the server has the mask of the test that happened to start it
    for number, path in ((1, stdout), (2, stderr)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(
        os.fdopen(2, "wb", closefd=False), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # that of the environment, not of the server
    os.chdir(folder)
    named = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:0] = [folder, *(str(Path(path).resolve()) for path in named)]
    sys.argv = ["gen_experiments", *arguments]
    try:
        runpy.run_module("gen_experiments", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # a process of `multiprocessing` ends without
