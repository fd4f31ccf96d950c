"""Scores in training: any metric of `evaluate`, on one process or several."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_reference_statistics import CPU, Pooled, Set, pictures

import independent
import two_processes
from conftest import SHORT, SMALL
from gen_experiments import distributed
from gen_experiments.evaluation.feature_set import FeatureSet
from gen_experiments.evaluation.online import OnlineScores
from gen_experiments.evaluation.scores import score
from gen_experiments.metrics.frechet import Moments

pytestmark = pytest.mark.usefixtures("cache")

METRICS = ("mind", "fid", "kid", "precision", "coverage")


def counted(metrics=METRICS):
    """Counts 50 images against 33, in batches of 7 that the processes share, and returns the scores."""
    network = Pooled()
    scores = OnlineScores(network, metrics)
    scores.reset(Set(pictures(33, 0)), 10, CPU)
    generated = pictures(50, 1)
    starts = range(0, 50, 7)
    # The last process first, so that the order in which processes and batches come is not that of the images.
    for start in reversed(starts[distributed.rank() :: distributed.world_size()]):
        chosen = torch.arange(start, min(start + 7, 50))
        scores.update(generated[chosen], chosen)
    return {name: found.value for name, found in scores.compute().items()} | {"variety": scores.variety()}


def expected(metrics=METRICS):
    network = Pooled()
    sides = [network(pictures(count, seed)) for count, seed in ((50, 1), (33, 0))]
    found = score(*(FeatureSet(Moments.of_features(rows), rows) for rows in sides), network, metrics)
    generated, real = (np.cov(rows.double().numpy(), rowvar=False).trace() for rows in sides)
    return {name: each.value for name, each in found.items()} | {"variety": generated / real}


def test_batches_score_as_all_images_at_once():
    assert counted() == pytest.approx(expected(), rel=1e-9)


def test_another_reference_takes_the_place_of_the_one_before():
    network, made = Pooled(), pictures(50, 1)
    scores = OnlineScores(network, ["mind"])
    for name, seed in (("f", 0), ("g", 2)):
        scores.reset(Set(pictures(33, seed), name), 10, CPU)
        scores.update(made, torch.arange(50))
        sides = [network(images) for images in (made, pictures(33, seed))]
        wanted = score(*(FeatureSet(Moments.of_features(rows), rows) for rows in sides), network, ["mind"])
        assert scores.compute()["mind"].value == pytest.approx(wanted["mind"].value, rel=1e-9)


def test_two_processes_score_as_one(tmp_path):
    for found in two_processes.run(counted, tmp_path):
        assert found == pytest.approx(expected(), rel=1e-9)


def test_the_first_metric_chooses_the_best():
    assert OnlineScores(Pooled(), ["coverage", "fid"]).best_by == ("coverage", "max")
    assert OnlineScores(Pooled(), ["mind"]).best_by == ("mind", "min")


def gathered():
    return distributed.all_gather_uneven(torch.arange(3 * distributed.rank()).reshape(-1, 1))


@pytest.mark.long
def test_processes_gather_what_only_some_of_them_have(tmp_path):
    for found in two_processes.run(gathered, tmp_path):
        assert found.tolist() == [[0], [1], [2]]


def test_training_by_mind_agrees_with_evaluate_to_the_last_digit(experiment, capsys):
    options = [
        "--evaluation.samples=320",
        "--evaluation.metrics=[mind,recall,fid,fid_infinity]",
        "--run.root=runs",
        "--run.name=gan",
    ]
    assert experiment("fit", *SMALL["gan"], *SHORT, *options, "--trainer.max_steps=2") == 0
    assert "best is by val/mind" in capsys.readouterr().out
    run = Path("runs/gan/version_0")
    assert (run / "checkpoints" / "best.ckpt").exists()
    wanted = ("evaluate", run / "checkpoints" / "last.ckpt", "--num=320", "--metrics=[mind,recall,fid,fid_infinity]")
    assert experiment(*wanted, "--json=record.json") == 0
    found = json.loads(Path("record.json").read_text())["scores"]
    for name in ("mind", "recall", "fid", "fid_infinity"):
        (trained,) = independent.column(run / "metrics.csv", f"val/{name}")
        assert np.float32(found[name]["value"]) == np.float32(trained), name


def test_reconstructions_are_scored_by_other_metrics_too(experiment):
    options = ["--evaluation.metrics=[mind,fid]", "--run.root=runs", "--run.name=vqvae", "--trainer.max_steps=2"]
    assert experiment("fit", *SMALL["vqvae"], *SHORT, *options) == 0
    run = Path("runs/vqvae/version_0")
    assert experiment("evaluate", run, "--metrics=[mind,fid]", "--json=record.json") == 0
    found = json.loads(Path("record.json").read_text())["scores"]
    for name in ("mind", "fid"):
        (trained,) = independent.column(run / "metrics.csv", f"val/r{name}")
        assert found[name]["value"] == pytest.approx(trained, rel=1e-6), name


def test_an_unknown_metric_is_named(refused):
    assert "evaluation.metrics cannot hold fids: choose from fid, " in refused(
        "fit", *SMALL["gan"], *SHORT, "--evaluation.metrics=[fids]"
    )
