"""The folder that a new run is given."""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest

from gen_experiments.errors import UserError
from gen_experiments.runs.folder import Run
from gen_experiments.runs.lock import is_locked, release
from gen_experiments.runs.record import RunRecord

WITHOUT_ROOM = """
import resource, sys
from gen_experiments.errors import UserError
from gen_experiments.runs.folder import Run
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
try:
    Run("name").start(None, 0)
except UserError as error:
    print(error, file=sys.stderr)
"""
ROOM_AGAIN = """
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(Run("name").start(None, 0).folder.absolute(), flush=True)
sys.stdin.read()
"""


def test_a_disk_without_room_is_left_as_it_was(tmp_path):
    done = subprocess.run([sys.executable, "-c", WITHOUT_ROOM], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "cannot write to runs/name: File too large; choose another place by --run.root\n"
    assert list((tmp_path / "runs" / "name").iterdir()) == []


def test_a_run_that_found_room_at_the_second_time_has_one_writer(tmp_path):
    command = [sys.executable, "-c", WITHOUT_ROOM + ROOM_AGAIN]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=tmp_path, text=True, **pipes) as process:
        folder = Path(process.stdout.readline().strip())
        assert folder == tmp_path / "runs" / "name" / "version_0"
        assert is_locked(folder)
        process.kill()


def begun(root, seed, *checkpoints):
    """The checkpoints' folder of a new run with empty ones."""
    folder = Run("a", str(root)).start(None, seed).folder
    release(folder)
    (folder / "checkpoints").mkdir()
    for name in checkpoints:
        with zipfile.ZipFile(folder / "checkpoints" / name, "w"):
            pass
    return folder / "checkpoints"


def test_which_checkpoint_is_taken_is_said_where_it_is_not_the_one_named(tmp_path, capsys):
    files = begun(tmp_path, 0, "best.ckpt")
    run = Run("a", str(tmp_path), resume="auto")
    assert run.start(None, 0).checkpoint == files / "best.ckpt"
    assert capsys.readouterr().out == f"{files}/last.ckpt is not there: {files}/best.ckpt is taken instead\n"
    (files / "last.ckpt").write_bytes(b"half")
    (files / ".ipynb_checkpoints").mkdir()  # of a notebook
    for name in (".nfs0000000000a1b2c300000001", ".last-0123abcd.ckpt"):
        (files / name).write_bytes(b"half")
    assert run.start(None, 0).checkpoint == files / "best.ckpt"
    assert capsys.readouterr().out == f"{files}/last.ckpt cannot be read: {files}/best.ckpt is taken instead\n"
    assert sorted(path.name for path in files.glob(".*")) == [".ipynb_checkpoints", ".nfs0000000000a1b2c300000001"]
    (files / "best.ckpt").unlink()
    assert run.start(None, 0).checkpoint is None
    assert capsys.readouterr().out == f"{files}/last.ckpt cannot be read, and no other checkpoint of that run can\n"
    release(files.parent)


def test_another_seed_is_advised_only_if_its_run_has_a_checkpoint(tmp_path):
    run = Run("a", str(tmp_path))
    begun(tmp_path, 1)
    with pytest.raises(UserError, match="has a readable checkpoint; name another run"):
        run.start("last", 5)
    for seed in (2, 3):
        begun(tmp_path, seed, "last.ckpt")
    begun(tmp_path, 4)
    with pytest.raises(UserError, match=r"no run in .* with seed 5 has a checkpoint, but one with seed 3: set"):
        run.start("last", 5)
    with pytest.raises(UserError, match=r"no run in .*/a/version_3 has a readable checkpoint"):
        Run("a", str(tmp_path), version=3).start("last", 4)


def test_the_newest_run_has_the_largest_number_and_is_found_without_its_record(tmp_path):
    files = begun(tmp_path, 0, "last.ckpt")
    files.parent.rename(tmp_path / "a" / "version_5")  # as where earlier ones were removed
    files = begun(tmp_path, 1, "last.ckpt")
    assert files.parent.name == "version_6"
    (files.parent / "run.json").unlink()  # as is advised if it is damaged
    assert Run("a", str(tmp_path)).start("last", 0).checkpoint == files / "last.ckpt"
    release(files.parent)


def test_a_record_of_another_version_is_read_and_a_damaged_one_named(tmp_path):
    (tmp_path / "run.json").write_text('{"id": "b", "name": "a", "later": 1}')
    assert RunRecord.read(tmp_path) == RunRecord("b", "a")
    for damaged in ('{"name": "a"}', "[1]", '{"id', "[" * 100_000):
        (tmp_path / "run.json").write_text(damaged)
        with pytest.raises(UserError, match=r"run\.json is damaged .*: remove it, or name another run"):
            RunRecord.read(tmp_path)


def test_nothing_in_a_folder_is_open_when_it_is_removed(tmp_path, monkeypatch):
    """NFS keeps an open file under another name, and then the folder cannot be removed."""
    opened = []
    removed = shutil.rmtree

    def remove(folder, **options):
        files = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists()]
        opened.extend(file for file in files if file.startswith(str(folder.resolve())))
        assert RunRecord.read(folder) is None  # another process would take the run, which nobody locks now
        removed(folder, **options)

    monkeypatch.chdir(tmp_path)
    run = Run("name")
    start = run.start(None, 0)
    monkeypatch.setattr(shutil, "rmtree", remove)
    run.discard(start)
    assert opened == []
    assert not start.folder.exists()


TOGETHER = """
import sys, time
from gen_experiments.errors import UserError
from gen_experiments.runs.folder import Run
run = Run("run", sys.argv[1], resume="auto")
print("ready", flush=True)
time.sleep(max(0.0, float(input()) - time.time()))
try:
    print(run.start(None, 0).folder.name, flush=True)
except UserError as error:
    print(error, flush=True)
input()
"""


def test_processes_that_start_at_the_same_moment_go_on_with_runs_of_their_own(tmp_path):
    """Many runs that have ended make it long from the look at the one that waits to its lock."""
    ended = asdict(RunRecord("a", "run", seed=0, status="finished"))
    for version in range(1001):
        (tmp_path / "run" / f"version_{version}").mkdir(parents=True)
        record = ended | ({"status": "stopped"} if version == 1000 else {})
        (tmp_path / "run" / f"version_{version}" / "run.json").write_text(json.dumps(record))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", TOGETHER, str(tmp_path)], **pipes) for _ in range(2)]
    try:
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
        begin = time.time() + 0.2
        for process in processes:
            process.stdin.write(f"{begin}\n")
            process.stdin.flush()
        found = [process.stdout.readline().strip() for process in processes]
    finally:
        for process in processes:
            process.communicate("\n", timeout=60)
    # One goes on with the run that waits, the other finds none and begins one.
    assert sorted(found) == ["version_1000", "version_1001"]
