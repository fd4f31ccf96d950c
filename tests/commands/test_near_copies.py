"""What `evaluate` knows of a run beside its samples: its training images, their copies, and what they show."""

import shutil

import numpy as np
import pytest
import torch
import yaml
from test_evaluate import digits, features, record, scores

import independent
from gen_experiments.commands.evaluating.copies import copies
from gen_experiments.errors import UserError
from gen_experiments.metrics.features import DigitsFeatures


def test_near_copies_are_those_of_memorisation(experiment, checkpoints, capsys):
    assert experiment("memorisation", checkpoints["gan"], "--num=200") == 0
    said = capsys.readouterr().out
    options = ("--num=200", "--metrics=[near_copies,near_copies_p]", "--bootstrap=40")
    assert experiment("evaluate", checkpoints["gan"], *options, "--json=record.json") == 0
    assert f"near-copies: {scores()['near_copies']:.2%} of 200 generated images" in said
    assert f"(p = {scores()['near_copies_p']:.2g})" in said
    assert record()["scores"]["near_copies"]["settings"] == {"held_out_images": 180, "training_images": 1437}
    assert record()["protocol"]["extractor"] == "DigitsFeatures"
    # Wilson's formula solved as the quadratic (p̂ − p)² = z² p(1 − p)/n, of the generated images.
    share, ratio = scores()["near_copies"], 1.959964**2 / 200
    bounds = np.sort(np.roots([1 + ratio, -(2 * share + ratio), share**2]).real)
    assert record()["scores"]["near_copies"]["interval"] == pytest.approx(bounds, abs=1e-6)
    # Of another reference the training images' features are not at hand.
    assert experiment("evaluate", checkpoints["gan"], "test", *options, "--json=other.json") == 0
    assert scores("other.json") == pytest.approx(scores(), rel=1e-6)


def test_near_copies_by_their_definition(checkpoints):
    # The validation images are unseen as the test images are: a few of them lie as near to a training image.
    pixels, _ = independent.digits(32)
    train, test, val = (features(pixels[independent.held_out(len(pixels))[name]]) for name in ("train", "test", "val"))
    near_of_test, near_of_val = (
        np.linalg.norm(rows[:, None].astype(np.float64) - train[None], axis=2).min(1) for rows in (test, val)
    )
    found = copies(checkpoints["gan"], torch.from_numpy(val), {}, None, DigitsFeatures())
    expected = (near_of_val < np.sort(near_of_test)[0]).mean()  # one hundredth of 181, rounded down
    assert found["near_copies"].value == pytest.approx(expected)
    assert 0 < (near_of_val < np.sort(near_of_test)[17]).mean() != expected


def test_too_few_images_to_tell_copies_from_chance_are_said(checkpoints, tmp_path):
    run = shutil.copytree(checkpoints["gan"].parents[1], tmp_path / "run")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["init_args"]["test_size"] = 0.005
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="needs more images to tell copies from chance"):
        copies(run / "checkpoints" / "last.ckpt", torch.zeros(1, 64), {}, None, DigitsFeatures())


def test_what_a_run_shows_is_known_of_a_folder_beside_it(experiment, checkpoints, tmp_path, capsys):
    digits(tmp_path / "real", slice(0, 80))
    assert experiment("evaluate", checkpoints["gan"], "real", "--num=60", "--metrics=[fid]", "--json=record.json") == 0
    assert record()["protocol"]["extractor_knows_the_images"] is True
    assert "features: DigitsFeatures, bilinear" in capsys.readouterr().out
