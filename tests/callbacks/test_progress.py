"""What a person sees of a run's progress: on a real terminal, and in a file."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
from types import SimpleNamespace

import pytest

from conftest import SHORT, SMALL
from forked import Forked
from gen_experiments.callbacks.progress import RunProgress, duration, num_iterations
from processes import fit, without_account

BAR = [option for option in SHORT if "progress_bar" not in option]
LINES = ["--trainer.callbacks+=RunProgress", "--trainer.callbacks.every_line=0.0001"]


def on_a_terminal(folder, *arguments):
    """Runs a command on a pseudo-terminal of 200 columns; returns what it showed."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    name = os.ttyname(terminal)
    process = Forked(arguments, folder, without_account(folder), name, name)
    shown = b""
    try:
        while select.select([screen], [], [], 0.1)[0] or process.poll() is None:
            if select.select([screen], [], [], 0)[0]:
                shown += os.read(screen, 65536)
    finally:
        process.kill()
        os.close(terminal)
        os.close(screen)
    assert process.wait() == 0, shown[-2000:]
    return shown.decode()


@pytest.mark.long
def test_a_bar_counts_the_iterations_of_the_run_also_when_it_goes_on(tmp_path):
    every = ["--trainer.callbacks+=RunProgress", "--trainer.callbacks.every=0.0001"]
    command = ["fit", *SMALL["vqvae"], *BAR]
    shown = on_a_terminal(tmp_path, *command, *every, "--trainer.max_steps=4")
    assert "training:   0%|" in shown
    assert re.search(r"4/4 \[.*train/loss [\d.]+.*val/rfid [\d.]+", shown), shown[-3000:]
    assert "validating:  50%|" in shown
    assert "training:  75%|" in shown
    # Refreshed once a second it would otherwise end at the iteration of the last refresh.
    shown = on_a_terminal(tmp_path, *command, "--trainer.max_steps=8", "--ckpt_path=last")
    assert "| 4/8 [" in shown
    assert "| 8/8 [" in shown
    assert "| 3/8 [" not in shown


def test_in_a_file_there_are_lines_without_escapes(tmp_path):
    # Where SLURM is installed, Lightning would say how a job is started.
    (tmp_path / "srun").touch(mode=0o755)
    done = fit(tmp_path, *SMALL["gan"], *BAR, *LINES, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert "srun" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("step ")]
    pattern = r"step (\d) of 4 \((\d+)%\), \d+ s left, (\d+) images seen, train/loss_d [\d.]+, train/loss_g [\d.]+"
    found = [re.match(pattern, line) for line in lines]
    assert [tuple(map(int, each.groups())) for each in found] == [(1, 25, 16), (2, 50, 32), (3, 75, 48), (4, 100, 64)]
    assert "val/fid" in lines[-1]


@pytest.mark.long
def test_scoring_counts_its_batches(tmp_path):
    fit(tmp_path, *SMALL["vqvae"], *SHORT, "--trainer.max_steps=2")
    options = [*SMALL["vqvae"], *BAR, "--ckpt_path=last", "--data.eval_batch_size=60"]
    for command, label in {"validate": "validating", "test": "testing"}.items():
        shown = on_a_terminal(tmp_path, command, *options)
        assert f"{label}:   0%|" in shown
        assert "| 3/3 [" in shown


def test_a_line_a_minute_tells_the_time_left_at_the_speed_since_the_start(monkeypatch, capsys):
    """By hand, from step 100 of 200 on and 10 s a step: 94 steps are left after a minute, for 940 s."""
    now = [0.0]
    monkeypatch.setattr("gen_experiments.callbacks.progress.time.monotonic", lambda: now[0])
    trainer = SimpleNamespace(global_step=100, max_steps=200, max_epochs=None, callback_metrics={}, callbacks=[])
    shown = RunProgress()
    shown.on_train_start(trainer, None)
    for _ in range(13):
        trainer.global_step += 1
        now[0] += 10
        shown.on_train_batch_end(trainer, None)
    assert capsys.readouterr().err.splitlines() == [
        "step 106 of 200 (53%), 16 min left",
        "step 112 of 200 (56%), 15 min left",
    ]
    shown.disable()
    now[0] += 3600
    shown.on_train_batch_end(trainer, None)
    assert capsys.readouterr().err == ""


# The last number is that at the end, wherever the last iteration fell.
@pytest.mark.parametrize(("every", "drawn"), [(1e-9, [*range(8)]), (2.0, [0, 2, 4, 6, 7])])
def test_a_bar_is_drawn_as_often_as_asked_also_where_iterations_are_short(monkeypatch, capsys, every, drawn):
    """tqdm by itself skips iterations of less than 0.1 s; here they take no time, or one second of a clock."""
    now = [0.0]
    if every > 1:
        monkeypatch.setattr("gen_experiments.callbacks.progress.time.monotonic", lambda: now[0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    trainer = SimpleNamespace(global_step=0, max_steps=7, max_epochs=None, callback_metrics={}, callbacks=[])
    shown = RunProgress(every=every)
    shown.on_train_start(trainer, None)
    for _ in range(7):
        trainer.global_step += 1
        now[0] += 1
        shown.on_train_batch_end(trainer, None)
    shown.on_train_end(trainer, None)
    counts = [int(count) for count in re.findall(r"(\d)/7 \[", capsys.readouterr().err)]
    assert list(dict.fromkeys(counts)) == drawn  # at its end a bar is drawn again


@pytest.mark.parametrize(
    ("max_steps", "max_epochs", "batches", "iterations"),
    [(-1, 3, 7, 21), (10, 3, 7, 10), (50, 3, 7, 21), (50, None, 7, 50), (-1, -1, 7, None), (50, 3, float("inf"), 50)],
)
def test_a_run_ends_by_its_first_limit(max_steps, max_epochs, batches, iterations):
    trainer = SimpleNamespace(max_steps=max_steps, max_epochs=max_epochs, num_training_batches=batches)
    assert num_iterations(trainer) == iterations


@pytest.mark.parametrize(("seconds", "words"), [(40.4, "40 s"), (700, "12 min"), (12_000, "3 h 20 min")])
def test_times_in_words(seconds, words):
    assert duration(seconds) == words
