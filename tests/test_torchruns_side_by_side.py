"""Two `torchrun` without `--rdzv-id` share a folder: each goes on in the run that it has begun."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from conftest import SHORT, SMALL
from processes import children, kill_all
from run_files import checkpoint, last

pytestmark = pytest.mark.long


def start(folder, log):
    """A `torchrun` of two processes that starts them again once, for a run without an end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--max-restarts=1"),
        *(f"--master-port={port}", "-m", "gen_experiments", "fit", *SMALL["vqvae"], *SHORT, "--run.name=run"),
        *("--trainer.max_steps=100000", "--trainer.accelerator=cpu", "--trainer.devices=2"),
        "--evaluation.extractor=null",
    ]
    with (folder / log).open("w") as file:
        return subprocess.Popen(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT)


def wait(condition, process, log):
    end = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def test_the_processes_that_one_starts_again_do_not_take_the_run_of_the_other(tmp_path):
    first = other = None
    try:
        first = start(tmp_path, "first")
        wait(last(tmp_path, "run").is_file, first, tmp_path / "first")
        other = start(tmp_path, "other")
        wait(last(tmp_path, "run", 1).is_file, other, tmp_path / "other")
        kill_all(other)
        before = checkpoint(last(tmp_path, "run", 1))["global_step"]
        os.kill(children(first)[0], signal.SIGKILL)
        wait(lambda: "goes on from" in (tmp_path / "first").read_text(), first, tmp_path / "first")
    finally:
        for process in filter(None, (first, other)):
            kill_all(process)
    (line,) = [line for line in (tmp_path / "first").read_text().splitlines() if "goes on from" in line]
    assert line.startswith("runs/run/version_0 goes on from runs/run/version_0/checkpoints/last.ckpt"), line
    assert checkpoint(last(tmp_path, "run", 1))["global_step"] == before
