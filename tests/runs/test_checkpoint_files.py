"""Checkpoints outlive the moment they are written in."""

import os
import subprocess
import sys

import pytest
import torch

from gen_experiments.runs.checkpoint_files import is_readable, readable_checkpoints, write_checkpoint

WITH_A_LIMIT = """
import resource, sys, torch
from pathlib import Path
from gen_experiments.errors import UserError
from gen_experiments.runs.checkpoint_files import write_checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_checkpoint({"weights": torch.zeros(100_000)}, Path(sys.argv[1]))
except UserError as error:
    print(error)
"""


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    write_checkpoint({"step": torch.tensor(1)}, path)
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", WITH_A_LIMIT, str(path)], capture_output=True, text=True)
    assert f"cannot write the checkpoint {path}" in done.stdout, done.stderr
    assert "is intact" in done.stdout
    assert "then go on by --ckpt_path=last" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["last.ckpt"]
    path.unlink()
    done = subprocess.run([sys.executable, "-c", WITH_A_LIMIT, str(path)], capture_output=True, text=True)
    assert done.stdout.endswith(
        "(none was written before); make room or choose another place by --run.root, then start anew\n"
    )


def test_it_is_renamed_from_beside_its_target(tmp_path, monkeypatch):
    """Not from the folder for temporary files, which may lie on another device."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    write_checkpoint({"step": 1}, tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True) == {"step": 1}


@pytest.mark.parametrize("kept", [0, 10, 0.3, 0.9, -1])
def test_a_cut_file_is_not_readable(tmp_path, kept):
    path = tmp_path / "last.ckpt"
    write_checkpoint({"weights": torch.zeros(1000)}, path)
    assert is_readable(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if 0 < abs(kept) < 1 else kept])
    assert not is_readable(path)


def test_the_last_comes_first_then_the_newest_and_no_leftovers(tmp_path):
    folder = tmp_path / "checkpoints"
    for age, name in enumerate(("new", "last", "old", ".last-x1", "cut")):
        write_checkpoint({"step": age}, folder / f"{name}.ckpt")
        os.utime(folder / f"{name}.ckpt", (1000 - age, 1000 - age))
    (folder / "cut.ckpt").write_bytes(b"PK")
    assert [path.stem for path in readable_checkpoints(tmp_path)] == ["last", "new", "old"]
