"""Commands that would take hours are stopped by a signal, in one line, and what they have written is whole."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from PIL import Image

from forked import Forked
from gen_experiments.progress import progress
from processes import wait_until

# How many seconds a process of a command waits for another.
WAIT = """
import torch
import torch.distributed as dist
from gen_experiments.commands.devices import process_group
with process_group():
    print(dist.group.WORLD._get_backend(torch.device("cpu")).options._timeout.total_seconds())
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.long)]
)
def test_a_billion_samples_can_be_stopped(tmp_path, checkpoints, number, code):
    arguments = ["sample", checkpoints["gan"], "--num=1000000000", "--out=set"]
    stdout, stderr = tmp_path / "stdout", tmp_path / "stderr"
    process = Forked(arguments, tmp_path, os.environ, stdout, stderr)
    try:
        assert wait_until((tmp_path / "set" / "00100.png").exists, process, 120), stderr.read_text()
        process.send_signal(number)
        assert process.wait(60) == code
    finally:
        process.kill()
    complained = stderr.read_text()
    assert stdout.read_text() == ""
    assert complained.splitlines()[-1] == f"stopped by {number.name}: the files that were written so far are whole"
    assert "Traceback" not in complained
    written = sorted((tmp_path / "set").iterdir())
    assert [path.name for path in written] == [f"{i:05d}.png" for i in range(len(written))]
    for path in (written[0], written[-1]):
        with Image.open(path) as image:
            image.load()


def test_progress_yields_every_number_once():
    assert [list(part) for part in progress(5, "images", 2)] == [[0, 1], [2, 3], [4]]


def test_progress_of_something_short_is_not_shown(capsys):
    for _ in progress(5, "images", 2):
        pass
    assert capsys.readouterr().err == ""


def test_in_a_file_progress_of_something_long_is_lines(capsys, monkeypatch):
    monkeypatch.setattr("gen_experiments.progress.QUIET", 0.0)
    monkeypatch.setattr("gen_experiments.progress.BETWEEN_LINES", 0.0)
    for _ in progress(5, "images", 2):
        pass
    lines = capsys.readouterr().err.split("\n")
    assert [re.sub("left.*", "left", line) for line in lines] == [
        "0 of 5 images (0%), ? left",
        "2 of 5 images (40%), 00:00 left",
        "4 of 5 images (80%), 00:00 left",
        "",
    ]
    assert all(re.search(r"left, +[\d.]+ images/s$", line) for line in lines[1:-1])


def test_the_processes_of_a_command_wait_for_one_that_decodes_for_hours():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launched = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", WAIT]
    printed = subprocess.run(command, env=os.environ | launched, capture_output=True, text=True, check=True).stdout
    assert float(printed) >= 12 * 60 * 60
