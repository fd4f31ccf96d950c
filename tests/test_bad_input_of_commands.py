"""A mistake in a checkpoint, a number, or a path of a command is described in one line."""

import pytest
import torch

from conftest import SHORT, SMALL
from pictures_on_disk import write_pictures


@pytest.fixture
def trained(experiment, tmp_path):
    """A checkpoint of each model."""
    for model in SMALL:
        assert experiment("fit", *SMALL[model], *SHORT, "--trainer.max_steps=2") == 0
    return {model: tmp_path / "runs" / model / "version_0" / "checkpoints" / "last.ckpt" for model in SMALL}


def test_checkpoints(mistake, trained, tmp_path):
    vqvae, gan = SMALL["vqvae"], SMALL["gan"]
    assert "there is no checkpoint at nowhere.ckpt" in mistake("fit", *gan, *SHORT, "--ckpt_path=nowhere.ckpt")
    for command in ("fit", "validate"):
        said = mistake(command, *gan, "--run.name=other", "--ckpt_path=last")
        assert "no run in runs/other has a readable checkpoint" in said
    assert "--ckpt_path=best" in mistake("validate", *gan)
    assert "holds a VQVAE, not a GAN" in mistake("fit", *gan, *SHORT, f"--ckpt_path={trained['vqvae']}")
    other = ["--model.quantizer.num_codes=16", f"--ckpt_path={trained['vqvae']}"]
    assert "does not fit this configuration" in mistake("validate", *vqvae, *other)
    assert "holds a VQVAE, which cannot sample: train a prior over its codes" in mistake("sample", trained["vqvae"])
    write_pictures(tmp_path / "pictures", 2)
    assert "holds a GAN, which cannot reconstruct" in mistake("reconstruct", trained["gan"], "--images=pictures")
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(trained["gan"].read_bytes()[:5000])
    assert "is no readable checkpoint" in mistake("sample", damaged)
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    assert "was not written by gen_experiments" in mistake("sample", tmp_path / "foreign.ckpt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_have_no_scores(mistake, contents, tmp_path, value):
    write_pictures(tmp_path / "pictures", 2)
    weights = dict(contents["vqvae"]["state_dict"])
    weights["decoder.layers.0.weight"] = torch.full_like(weights["decoder.layers.0.weight"], value)
    torch.save({**contents["vqvae"], "state_dict": weights}, tmp_path / "broken.ckpt")
    for command in (("reconstruct", "broken.ckpt", "--images=pictures"), ("evaluate", "broken.ckpt", "pictures")):
        assert "weights that are NaN or infinite (decoder.layers.0.weight)" in mistake(*command)


def test_a_checkpoint_that_names_foreign_code_is_not_imported(mistake, trained, tmp_path, monkeypatch):
    (tmp_path / "foreign.py").write_text("open('imported', 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    checkpoint = torch.load(trained["gan"], weights_only=True)
    checkpoint["hyper_parameters"]["generator"]["class_path"] = "foreign.Generator"
    torch.save(checkpoint, tmp_path / "foreign.ckpt")
    assert "GEN_EXPERIMENTS_TRUST=foreign" in mistake("sample", tmp_path / "foreign.ckpt")
    assert not (tmp_path / "imported").exists()


def test_places_that_cannot_be_written(mistake, trained, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write" in mistake("sample", trained["gan"], "--out=file/grid.png")
    assert "--run.root" in mistake("fit", *SMALL["gan"], *SHORT, "--run.root=file")
    assert "num must be >= 1, not 0" in mistake("sample", trained["gan"], "--num=0")


def test_numbers_of_commands(mistake, trained, tmp_path):
    gan = trained["gan"]
    assert "steps must be >= 10, not 5" in mistake("augment-score", gan, "--steps=5")
    for command in ("sample", "interpolate", "explore", "memorisation", "augment-score"):
        assert f"seed must be >= 0, not {-(2**63)}" in mistake(command, gan, f"--seed={-(2**63)}")
    assert "a grid has room for 16384 images, not 1000000000" in mistake("sample", gan, "--num=1000000000")
    assert "must be at most 16384" in mistake("interpolate", gan, "--points=1000", "--steps=1000")


def test_file_names_that_are_no_text(mistake, experiment, trained):
    assert "there is no checkpoint at" in mistake("sample", "\udcff.ckpt")
    assert "there is no image folder" in mistake("reconstruct", trained["vqvae"], "--images=\udcff")
    assert "config" in mistake("fit", "--config=\udcff.yaml")
    assert experiment("sample", trained["gan"], "--out=\udcff.png") == 0
