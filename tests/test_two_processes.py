"""Processes that wait for each other forever fail a test, rather than hang it."""

import time

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessExitedException

import two_processes


def _one_waits_alone():
    if dist.get_rank() == 0:
        dist.all_reduce(torch.ones(1))
    else:
        time.sleep(600)


def test_a_process_that_waits_for_another_ends_with_the_place(tmp_path, capsys):
    with pytest.raises(ProcessExitedException):
        two_processes.run(_one_waits_alone, tmp_path, patience=8.0)
    assert "in _one_waits_alone" in capsys.readouterr().err
