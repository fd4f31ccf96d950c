import errno
import fcntl
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import HOLD, SHORT, SMALL
from gen_experiments.errors import UserError
from gen_experiments.runs.folder import Run
from gen_experiments.runs.lock import LOCK_FILE, is_locked, lock, release


def test_a_run_has_one_writer_for_as_long_as_that_lives(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        assert is_locked(tmp_path)
        assert not lock(tmp_path)
        holder.kill()
        holder.wait()
        assert not is_locked(tmp_path)
        assert lock(tmp_path)
        assert lock(Path(os.path.relpath(tmp_path)))  # this process has it already
        assert not is_locked(Path(os.path.relpath(tmp_path)))
    other = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert other.stdout == "False\n"
    release(Path(os.path.relpath(tmp_path)))
    with (tmp_path / LOCK_FILE).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_run_that_has_ended_is_free_though_its_process_lives(experiment, tmp_path):
    assert experiment("fit", *SMALL["vqvae"], *SHORT, "--trainer.max_steps=1", "--trainer.limit_val_batches=0") == 0
    with (tmp_path / "runs" / "vqvae" / "version_0" / LOCK_FILE).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_who_finds_a_run_in_use_reads_by_whom(tmp_path):
    run = Run("a", str(tmp_path))
    folder = run.start(None, 0).folder
    (folder / "checkpoints").mkdir()
    with zipfile.ZipFile(folder / "checkpoints" / "last.ckpt", "w"):
        pass
    release(folder)
    (folder / LOCK_FILE).write_text("process 12345678 on a machine whose name is longer than that of any other")
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        with pytest.raises(UserError, match=f"in use by process {holder.pid} on {socket.gethostname()}: wait"):
            run.start("last", 0)
        # A sweep that is started again while the trial of a killed one goes on.
        with pytest.raises(UserError, match=f"in use by process {holder.pid} on"):
            Run("a", str(tmp_path), version=0, resume="auto").start(None, 0)
        holder.kill()
    assert run.start("last", 0).folder == folder
    release(folder)


def test_the_torchruns_of_a_job_of_slurm_do_not_take_the_run_of_another(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    run = Run("a", str(tmp_path), resume="auto")
    first, other = run.start(None, 0).folder, Run("a", str(tmp_path)).start(None, 0).folder
    release(first)
    release(other)
    command = [sys.executable, "-c", HOLD, str(other)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        assert run.start(None, 0).folder == first
        holder.kill()
    release(first)
    with (first / LOCK_FILE).open("r+") as file, (other / LOCK_FILE).open("r+") as newer:
        for held in (file, newer):
            held.truncate()  # as on a full disk
            fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="version_1 is in use by another process: wait"):
            run.start(None, 0)
    assert run.start(None, 0).folder == other
    release(other)


# As a system call answers on NFS without its lock manager, and on Lustre mounted without `flock`.
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_no_lock_can_be_had_a_run_begins_with_a_warning(tmp_path, monkeypatch, number):
    def flock(file, operation):
        raise OSError(number, "")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.warns(UserWarning, match="version_0 cannot be locked: make sure that no other job writes"):
        Run("a", str(tmp_path)).start(None, 0)
    assert not is_locked(tmp_path / "a" / "version_0")
