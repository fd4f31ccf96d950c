import uuid

import pytest

from gen_experiments.runs.job import is_first_process, job_name

VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "TORCHELASTIC_RUN_ID")


@pytest.fixture
def launched(monkeypatch):
    """Sets the variables of a launcher, and no others."""
    for name in (*VARIABLES, "SLURM_PROCID", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
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
        ({"TORCHELASTIC_RUN_ID": "digits"}, "torchrun-digits"),
        ({"TORCHELASTIC_RUN_ID": uuid.UUID(int=7, version=4)}, None),
        ({"TORCHELASTIC_RUN_ID": "8", "SLURM_JOB_ID": 8}, "slurm-8"),
    ],
    ids=str,
)
def test_a_job_has_the_same_name_at_its_next_start(launched, variables, name):
    launched(**variables)
    assert job_name() == name
