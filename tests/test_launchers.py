"""What torchrun or SLURM has started, and what the trainer was told to start."""

import pytest
import torch

from conftest import SHORT, SMALL
from processes import said, start

FIT = ["fit", *SMALL["vqvae"], *SHORT, "--trainer.max_steps=2", "--trainer.accelerator=cpu"]
# As in the script of a job, or in `salloc`, without srun.
ALLOCATION = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_would_each_train_alone_are_refused(experiment, capsys, monkeypatch, tmp_path, rank):
    launched = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": 2, "RANK": rank, "LOCAL_RANK": rank}
    for name, value in launched.items():
        monkeypatch.setenv(name, str(value))
    assert experiment(*FIT) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "torchrun has started 2 processes, but trainer.devices=1 times trainer.num_nodes=1 is 1: set them" in line
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_one_process_in_an_allocation_of_more_tasks_trains(experiment, monkeypatch):
    for name, value in ALLOCATION.items():
        monkeypatch.setenv(name, value)
    assert experiment(*FIT) == 0


@pytest.mark.long
def test_without_srun_the_processes_of_an_allocation_are_lightnings(tmp_path):
    variables = {**ALLOCATION, "SLURM_NTASKS_PER_NODE": "2"}
    assert start(*FIT, "--trainer.devices=2", folder=tmp_path, **variables).wait(120) == 0, said(tmp_path)
    last = torch.load(tmp_path / "runs" / "vqvae" / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["training"]["processes"] == 2
