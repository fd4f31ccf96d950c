import os
import uuid

import pytest
from lightning.fabric.plugins.environments import SLURMEnvironment

from gen_experiments.errors import UserError
from gen_experiments.runs.job import (
    check_processes,
    has_peers,
    is_first_process,
    is_lasting,
    job_name,
    name_job_for_lightning,
    num_processes,
    process_suffix,
    requeue,
)

# What torchrun calls the folder of its logs without `--rdzv-id`, and the name of its job.
LOGS, UNNAMED_JOB = "/tmp/torchelastic_k1/none_x7", "unnamed-torchrun-none_x7"
TORCHRUNS = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_ERROR_FILE")
VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", *TORCHRUNS)


@pytest.fixture
def launched(monkeypatch):
    """Sets the variables of a launcher, and no others."""
    for name in (*VARIABLES, *filter(lambda name: name.startswith("SLURM"), os.environ)):
        monkeypatch.delenv(name, raising=False)
    return lambda **variables: [monkeypatch.setenv(name, str(value)) for name, value in variables.items()]


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": 1}, False),
        ({"SLURM_PROCID": 0, "LOCAL_RANK": 0}, True),
        ({"SLURM_PROCID": 1, "LOCAL_RANK": 0}, False),
        ({"RANK": 0, "LOCAL_RANK": 0, "SLURM_PROCID": 1}, True),
        ({"RANK": 1, "LOCAL_RANK": 0, "SLURM_PROCID": 0}, False),
        ({"NODE_RANK": 1, "LOCAL_RANK": 0}, False),
    ],
    ids=str,
)
def test_exactly_one_process_is_the_first(launched, variables, first):
    launched(**variables)
    assert is_first_process() == first


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": 8}, "slurm-8"),
        ({"SLURM_JOB_ID": 8, "SLURM_ARRAY_JOB_ID": 6, "SLURM_ARRAY_TASK_ID": 2}, "slurm-6_2"),
        ({"TORCHELASTIC_RUN_ID": "none"}, None),
        ({"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_ERROR_FILE": ""}, None),
        ({"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_ERROR_FILE": f"{LOGS}/attempt_0/1/error.json"}, UNNAMED_JOB),
        ({"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_ERROR_FILE": f"{LOGS}/attempt_1/0/error.json"}, UNNAMED_JOB),
        ({"TORCHELASTIC_RUN_ID": "digits"}, "torchrun-digits"),
        ({"TORCHELASTIC_RUN_ID": uuid.UUID(int=7, version=4)}, "torchrun-00000000-0000-4000-8000-000000000007"),
        ({"TORCHELASTIC_RUN_ID": "8", "SLURM_JOB_ID": 8}, "slurm-8"),
    ],
    ids=str,
)
def test_a_job_has_the_same_name_after_a_restart(launched, variables, name):
    launched(**variables)
    assert job_name() == name


# A stand-in for SLURM's program: it notes its arguments, and ends as it is told.
SCONTROL = """#!/bin/sh
echo "$@" > {folder}/asked
{then}
"""


def scontrol(folder, then=""):
    (folder / "scontrol").write_text(SCONTROL.format(folder=folder, then=then))
    (folder / "scontrol").chmod(0o755)


@pytest.mark.parametrize(
    ("variables", "number"), [({}, "8"), ({"SLURM_ARRAY_JOB_ID": 6, "SLURM_ARRAY_TASK_ID": 2}, "6_2")], ids=str
)
def test_a_job_is_requeued_by_its_number(launched, tmp_path, variables, number):
    scontrol(tmp_path)
    launched(SLURM_JOB_ID=8, PATH=tmp_path, **variables)
    assert requeue() == number
    assert (tmp_path / "asked").read_text() == f"requeue {number}\n"


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("echo slurm_requeue error: >&2; echo Access denied >&2; exit 1", "slurm_requeue error: Access denied"),
        ("exit 3", "exit code 3"),
        (None, "[Errno 2] No such file or directory: 'scontrol'"),
    ],
)
def test_a_job_that_cannot_be_requeued_is_to_be_submitted_again(launched, tmp_path, then, said):
    if then is not None:
        scontrol(tmp_path, then)
    launched(SLURM_JOB_ID=8, PATH=tmp_path)
    with pytest.raises(UserError) as caught:
        requeue()
    assert str(caught.value) == f"`scontrol requeue 8` failed: {said}; submit the job again"


@pytest.mark.parametrize(
    ("variables", "suffix"),
    [
        ({}, ""),
        ({"SLURM_PROCID": 0, "LOCAL_RANK": 0}, ""),
        ({"SLURM_PROCID": 5, "LOCAL_RANK": 1}, " (process 5)"),
        ({"RANK": 3, "SLURM_PROCID": 1, "LOCAL_RANK": 1}, " (process 3)"),
        ({"LOCAL_RANK": 2}, " (process 2)"),
        ({"NODE_RANK": 1}, " (process 0 of node 1)"),
        ({"NODE_RANK": 1, "LOCAL_RANK": 2}, " (process 2 of node 1)"),
        ({"NODE_RANK": 1, "RANK": 3, "LOCAL_RANK": 1}, " (process 3)"),
        ({"SLURM_PROCID": 0, "LOCAL_RANK": 2}, " (process 2)"),  # started by Lightning in a batch script
    ],
    ids=str,
)
def test_messages_name_their_process(launched, variables, suffix):
    launched(**variables)
    assert process_suffix() == suffix


def test_a_job_of_torchrun_without_a_name_of_the_users_does_not_keep_its_name():
    names = [None, "slurm-8", "slurm-6_2", "torchrun-digits", f"torchrun-{uuid.uuid4()}", UNNAMED_JOB]
    assert [is_lasting(name) for name in names] == [False, True, True, True, False, False]


ALLOCATION = {"SLURM_JOB_ID": 8, "SLURM_NTASKS": 2, "SLURM_NTASKS_PER_NODE": 2}


@pytest.mark.parametrize("name", ["train", "interactive", "bash"])
@pytest.mark.parametrize(
    ("step", "by_srun"),
    [
        pytest.param({}, False, id="the batch script, or salloc"),
        pytest.param({"SLURM_STEP_NUM_TASKS": 1}, False, id="srun -n1"),
        pytest.param({"SLURM_STEP_NUM_TASKS": 2}, True, id="srun"),
    ],
)
def test_lightning_takes_tasks_for_processes_only_if_srun_has_started_them(launched, name, step, by_srun):
    launched(**ALLOCATION, **step, SLURM_JOB_NAME=name)
    name_job_for_lightning()
    assert SLURMEnvironment.detect() == by_srun
    assert os.environ["SLURM_JOB_NAME"] == name or by_srun == (name != "train")


@pytest.mark.parametrize(
    ("variables", "peers", "by_torchrun"),
    [
        ({}, False, 1),
        (ALLOCATION, False, 1),
        ({**ALLOCATION, "SLURM_STEP_NUM_TASKS": 2}, True, 1),
        ({"WORLD_SIZE": 2, "LOCAL_RANK": 1}, True, 1),  # by Lightning
        ({"WORLD_SIZE": 2, "TORCHELASTIC_RUN_ID": "none"}, True, 2),
        ({"WORLD_SIZE": 1, "TORCHELASTIC_RUN_ID": "none"}, False, 1),
    ],
    ids=str,
)
def test_whether_there_are_other_processes_and_whether_commands_share_work_with_them(
    launched, variables, peers, by_torchrun
):
    launched(**variables)
    assert (has_peers(), num_processes()) == (peers, by_torchrun)


def test_outside_of_slurm_no_job_gets_a_name(launched):
    launched()
    name_job_for_lightning()
    assert "SLURM_JOB_NAME" not in os.environ


@pytest.mark.parametrize(
    ("variables", "devices", "nodes", "said"),
    [
        ({"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": 8}, 8, 1, None),
        ({"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": 8}, 4, 2, None),
        ({"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": 8}, 1, 1, "torchrun has started 8 processes, but"),
        ({"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": 1}, 2, 1, "torchrun has started 1 processes, but"),
        ({**ALLOCATION, "SLURM_STEP_NUM_TASKS": 2}, 2, 1, None),
        ({**ALLOCATION, "SLURM_STEP_NUM_TASKS": 2}, 1, 1, "srun has started 2 processes, but trainer.devices=1 times"),
        ({**ALLOCATION, "SLURM_STEP_NUM_TASKS": 1, "TORCHELASTIC_RUN_ID": "8", "WORLD_SIZE": 4}, 4, 1, None),
        (ALLOCATION, 1, 1, None),
        (ALLOCATION, 4, 1, None),
        (ALLOCATION, 4, 2, "trainer.num_nodes=2 takes processes on each node: start them by srun or torchrun"),
        ({**ALLOCATION, "MASTER_ADDR": "node1"}, 4, 2, None),
        ({}, 4, 2, None),
    ],
    ids=str,
)
def test_the_trainer_has_as_many_processes_as_were_started(launched, variables, devices, nodes, said):
    launched(**variables)
    if said is None:
        check_processes(devices, nodes, on_cpu=False)
    else:
        with pytest.raises(UserError, match=said):
            check_processes(devices, nodes, on_cpu=False)


def test_no_more_processes_start_on_the_cpu_than_its_cores_can_run(launched, monkeypatch):
    launched()
    for cores, most in ((2, 8), (4, 8), (16, 32)):
        monkeypatch.setattr("gen_experiments.runs.job.usable_cores", lambda cores=cores: cores)
        check_processes(most, 1, on_cpu=True)
        check_processes(most + 1, 1, on_cpu=False)
        with pytest.raises(UserError, match=f"{most + 1} processes are too many for the {cores} CPU cores here"):
            check_processes(most + 1, 1, on_cpu=True)
