"""Commands that would take hours are stopped by a signal, in one line, and what they have written is whole."""

import fcntl
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress

import pytest
from PIL import Image
from tqdm import TMonitor, tqdm

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


class Clock:
    """Stands for the clock of the progress: its hours take no time. It begins now, as another thread reads the real."""

    def __init__(self):
        self.now = time.time()

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("tqdm.std.time", made)
    return made


def work(clock, seconds):
    """Ten times two items, which take so long together."""
    for _ in progress(20, "images", 2):
        clock.now += seconds


def test_progress_of_something_short_is_not_shown(capsys, clock):
    work(clock, 0.45)
    assert capsys.readouterr().err == ""


def test_in_a_file_progress_of_something_long_is_a_line_every_half_minute(capsys, clock):
    work(clock, 12)
    assert capsys.readouterr().err.split("\n") == [
        "6 of 20 images (30%), 01:24 left,  6.00s/images",
        "12 of 20 images (60%), 00:48 left,  6.00s/images",
        "18 of 20 images (90%), 00:12 left,  6.00s/images",
        "",
    ]


def test_no_line_is_repeated_while_an_item_takes_its_time(capsys, monkeypatch):
    """tqdm's own thread, which looks every 10 s, looks every 20 ms here."""
    for name, value in {"QUIET": 0.0, "BETWEEN_LINES": 0.05}.items():
        monkeypatch.setattr(f"gen_experiments.progress.{name}", value)
    thread = TMonitor(tqdm, 0.02)
    for _ in progress(80, "images", 20):
        time.sleep(0.15)
    thread.exit()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in lines] == [f"{done} of 80 images" for done in (0, 20, 40, 60, 80)]


def test_on_a_terminal_progress_is_a_bar_that_goes_at_the_end(clock, monkeypatch):
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    with open(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        work(clock, 2)
    shown = b""
    with suppress(OSError):  # all is read of a terminal that is closed
        while part := os.read(screen, 65536):
            shown += part
    os.close(screen)
    drawn = shown.decode().split("\r")
    bars = [re.match(r" *(\d+)%\|.*\| (\d+)/20 \[", bar) for bar in drawn]
    assert [tuple(map(int, bar.groups())) for bar in bars if bar] == [(10 * n, 2 * n) for n in range(3, 11)]
    assert drawn[-2].strip() == drawn[-1] == ""


@pytest.mark.long
def test_the_processes_of_a_command_wait_for_one_that_decodes_for_hours():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launched = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", WAIT]
    printed = subprocess.run(command, env=os.environ | launched, capture_output=True, text=True, check=True).stdout
    assert float(printed) >= 12 * 60 * 60
