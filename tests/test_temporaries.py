"""Temporary files beside what is written: what killed writers leave is found, and nothing else is removed."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from gen_experiments.storage import atomic_folder, atomic_write

KILLED = """
import os, signal
from pathlib import Path
from gen_experiments.storage import atomic_write
with atomic_write(Path("data[1].npy")) as temporary:
    temporary.write_bytes(bytes(1000))
    print(temporary, flush=True)
    input()
"""


def test_what_a_killed_writer_leaves_is_removed_by_the_next(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    left = tmp_path / process.stdout.readline().strip()

    def write():
        with atomic_write(tmp_path / "data[1].npy") as temporary:
            temporary.write_bytes(b"new")

    try:
        write()
        assert left.exists(), "its writer is alive"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert left.exists()
    write()
    assert [path.name for path in tmp_path.iterdir()] == ["data[1].npy"]


@pytest.mark.skipif(sys.platform != "linux", reason="the lock of a folder")
def test_what_killed_writers_leave_is_told_from_what_others_have(tmp_path, monkeypatch):
    """Elsewhere only what this file's writers have left goes, in the cache also what is called by a hash."""
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    decoded = f".{'0a' * 16}-01234567.npy"
    names = [
        decoded,
        ".data-01234567.npy",
        ".other-01234567.npy",
        ".made-01234567/half",
        ".made-0123456/kept",
        ".git/HEAD",
    ]

    def left(folder):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"left")
        with atomic_folder(folder / "made") as made:
            (made / "file").write_text("new")
            with atomic_folder(folder / "made too"), atomic_write(folder / "data.npy"):
                assert made.is_dir(), "its writer is alive"
        return {path.name for path in folder.iterdir()} - {"data.npy", "made", "made too"}

    kept = {".other-01234567.npy", ".made-0123456", ".git"}
    assert left(tmp_path / "own") == {decoded, *kept}
    assert left(tmp_path / "cache" / "images") == kept


def test_a_file_that_another_process_removes_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    lock, removed = fcntl.flock, []

    def remove_and_lock(handle, operation):
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", remove_and_lock)
    with atomic_write(tmp_path / "data.bin") as temporary:
        temporary.write_bytes(b"new")
        with temporary.open("rb") as file, pytest.raises(BlockingIOError):  # else the next one removes it too
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert (tmp_path / "data.bin").read_bytes() == b"new"
    assert removed == [temporary]


def test_a_folder_is_listed_once_for_all_its_files(tmp_path, monkeypatch):
    """Otherwise the thousandth picture takes longer than the first."""
    listed, list_folder = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or list_folder(folder))
    monkeypatch.setattr(os, "scandir", None)
    for number in range(3):
        with atomic_write(tmp_path / f"{number}.png") as temporary:
            temporary.write_bytes(b"new")
    assert listed == [tmp_path]
