"""Jobs of two ranks on a real SLURM: interrupted anywhere, they go on by themselves and end as if nothing had been."""

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import yaml

import independent
import one_node_slurm
from jobs import MODELS, STEPS, TORCHRUN, submit
from run_files import equal
from wandb_files import records, values

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(bool(one_node_slurm.missing()), reason=one_node_slurm.missing()),
]


@pytest.fixture(scope="module")
def slurm():
    with one_node_slurm.Slurm() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def uninterrupted(slurm, tmp_path_factory):
    """A run of each model that nothing has interrupted."""
    folders = {model: tmp_path_factory.mktemp(model) for model in MODELS}
    jobs = [job for model, folder in folders.items() for job in submit(slurm, folder, model)]
    assert [job.wait_until_completed() for job in jobs] == [0, 0]
    return {model: folder / "runs" / model / "version_0" for model, folder in folders.items()}


def curves(run):
    """All rows of metrics.csv, without what depends on the machine."""
    return independent.curves(run / "metrics.csv")


def assert_same_end(job, expected):
    """The job has one run, with the weights, the optimizers' states, the best score and the curves of another."""
    runs = list((job.folder / "runs" / expected.parent.name).iterdir())
    assert [run.name for run in runs] == ["version_0"], job.log.read_text()
    for name in ("last.ckpt", "best.ckpt"):
        found, wanted = (torch.load(run / "checkpoints" / name, weights_only=True) for run in (runs[0], expected))
        for key in ("global_step", "images_seen", "epoch", "state_dict", "optimizer_states"):
            assert equal(found[key], wanted[key]), f"{key} of {name} differs\n{job.log.read_text()}"
    assert curves(runs[0]) == curves(expected)
    assert_same_at_wandb(runs[0])


def assert_same_at_wandb(run):
    """All parts of a run together hold each value of metrics.csv once, under the run's id."""
    files = list(run.glob("wandb/offline-run-*/*.wandb"))
    assert {file.name for file in files} == {f"run-{json.loads((run / 'run.json').read_text())['id']}.wandb"}
    rows = [values(record.history.item) for file in files for record in records(file) if record.HasField("history")]
    found = Counter((name, row["images_seen"]) for row in rows for name in row if isinstance(row[name], (int, float)))
    for row in curves(run):
        for name in (name for name, value in row.items() if value and name.startswith(("train/", "val/"))):
            assert found[name, float(row["images_seen"])] == 1, (name, row)


def interrupted(slurm, folder, model, seed, times):
    """A job that was requeued so many times at random moments, and has ended well."""
    moment = random.Random(f"{model}{seed}")
    (job,) = submit(slurm, folder, model)
    record, identities = folder / "runs" / model / "version_0" / "run.json", set()
    for restarts in range(times):
        if moment.random() < 0.3:
            job.wait_until_started(restarts)
        else:
            job.wait_for_iterations(moment.randint(1, 10), restarts)
        time.sleep(moment.uniform(0, 0.5))
        # What `#SBATCH --signal=USR1@90` does.
        slurm.command("scancel", "--signal=USR1", job.id)
        job.wait_until_restarted(restarts + 1)
        identities.add(json.loads(record.read_text())["id"])
    assert job.wait_until_completed() == times, job.log.read_text()
    assert identities == {json.loads(record.read_text())["id"]}
    return job


def test_jobs_are_requeued_at_random_moments(slurm, uninterrupted, tmp_path):
    """Ten times each model, in two jobs; all at once, as most of the time is spent on waiting for SLURM."""
    cases = [(model, seed) for model in MODELS for seed in range(2)]
    folders = {case: tmp_path / "-".join(map(str, case)) for case in cases}
    for folder in folders.values():
        folder.mkdir()
    with ThreadPoolExecutor(len(cases)) as pool:
        jobs = [pool.submit(interrupted, slurm, folders[case], *case, times=5) for case in cases]
    for (model, _), job in zip(cases, jobs, strict=True):
        assert_same_end(job.result(), uninterrupted[model])


@pytest.mark.parametrize(
    "interruption",
    [
        pytest.param([("scontrol", "requeue", "{job}")], id="pre-emption"),
        pytest.param(
            [
                ("scontrol", "update", "NodeName=node1", "State=DOWN", "Reason=test"),
                ("scontrol", "update", "NodeName=node1", "State=RESUME"),
            ],
            id="failure of a node",
        ),
    ],
)
def test_a_job_that_slurm_starts_again_goes_on(slurm, uninterrupted, tmp_path, interruption):
    (job,) = submit(slurm, tmp_path, "gan", nodes=2)
    job.wait_for_iterations(STEPS // 2)
    for command in interruption:
        slurm.command(*(word.format(job=job.id) for word in command))
    assert job.wait_until_completed() == 1
    assert_same_end(job, uninterrupted["gan"])


def test_a_job_of_torchrun_is_requeued(slurm, uninterrupted, tmp_path):
    (job,) = submit(slurm, tmp_path, "gan", nodes=2, file=TORCHRUN)
    job.wait_for_iterations(STEPS // 2)
    slurm.command("scancel", "--signal=USR1", job.id)
    assert job.wait_until_completed() == 1
    assert_same_end(job, uninterrupted["gan"])


def test_a_cancelled_job_leaves_a_checkpoint_and_ends_with_143(slurm, tmp_path):
    (job,) = submit(slurm, tmp_path, "vqvae")
    job.wait_for_iterations(20)
    slurm.command("scancel", job.id)
    assert job.wait_until_ended()["JobState"] == "CANCELLED"
    one_node_slurm.wait_until(lambda: "Exited with exit code 143" in job.log.read_text(), f"143 of {job}", job.log)
    assert "Traceback" not in job.log.read_text()
    (run,) = (tmp_path / "runs" / "vqvae").iterdir()
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert 20 <= last["global_step"] < STEPS
    assert last["images_seen"] == 16 * last["global_step"]


def test_tasks_of_an_array_have_runs_of_their_own(slurm, tmp_path):
    jobs = submit(slurm, tmp_path, "vqvae", "--seed_everything=ARRAY_TASK", ranks=1, tasks=2)
    for job in jobs:
        job.wait_for_iterations(STEPS // 3)
        slurm.command("scancel", "--signal=USR1", job.id)
    assert [job.wait_until_completed() for job in jobs] == [1, 1]
    runs = sorted((tmp_path / "runs" / "vqvae").iterdir())
    assert [run.name for run in runs] == ["version_0", "version_1"]
    assert {yaml.safe_load((run / "config.yaml").read_text())["seed_everything"] for run in runs} == {0, 1}
    for run in runs:
        assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == STEPS
        steps = [int(row["step"]) for row in curves(run) if row["train/loss"]]
        assert steps == [*range(2, STEPS, 3), STEPS - 1]
