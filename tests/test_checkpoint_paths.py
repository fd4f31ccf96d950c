"""The folder of a run stands for its best checkpoint wherever a checkpoint is named."""

import pytest
import torch

from conftest import SHORT, SMALL, SMALL_PRIOR
from gen_experiments.images import ImageSpec
from gen_experiments.networks.autoencoder import ConvEncoder
from gen_experiments.networks.projected import ProjectedDiscriminator
from run_files import checkpoint

FIRST = "encoder.layers.0.weight"
STILL = (*SHORT, "--trainer.max_steps=1", "--model.optimizer.lr=0", "--evaluation.extractor=null")


@pytest.fixture
def run(contents, tmp_path):
    """A run whose best VQ-VAE has other weights than its last."""
    folder = tmp_path / "given"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("model: {}\n")
    held = contents["vqvae"]
    torch.save(held, folder / "checkpoints" / "last.ckpt")
    better = {name: weight + 1 if name == FIRST else weight for name, weight in held["state_dict"].items()}
    torch.save({**held, "state_dict": better}, folder / "checkpoints" / "best.ckpt")
    return folder


def trained(tmp_path, name, weight):
    return checkpoint(tmp_path / "runs" / name / "version_0" / "checkpoints" / "last.ckpt")["state_dict"][weight]


@pytest.mark.parametrize("option", ["run.init_from", "ckpt_path"])
def test_a_run_begins_with_it(experiment, run, tmp_path, contents, capsys, option):
    more = ["--trainer.max_steps=3"] if option == "ckpt_path" else []
    assert experiment("fit", *SMALL["vqvae"], *STILL, *more, f"--{option}={run}") == 0
    assert f"from {run}/checkpoints/best.ckpt" in capsys.readouterr().out
    assert torch.equal(trained(tmp_path, "vqvae", FIRST), contents["vqvae"]["state_dict"][FIRST] + 1)


def test_it_is_what_is_scored(experiment, run, capsys):
    assert experiment("validate", *SMALL["vqvae"], "--evaluation.extractor=null", f"--ckpt_path={run}") == 0
    assert f"validate of {run}/checkpoints/best.ckpt" in capsys.readouterr().out
    assert (run / "scores.csv").is_file()


def test_a_prior_is_of_its_codes(experiment, run, tmp_path, contents):
    assert experiment("fit", *SMALL_PRIOR, *STILL, f"--model.vqvae={run}") == 0
    assert torch.equal(trained(tmp_path, "prior", f"vqvae.{FIRST}"), contents["vqvae"]["state_dict"][FIRST] + 1)


def test_a_discriminator_takes_its_encoder(run, contents):
    network = ProjectedDiscriminator(
        ImageSpec(1, 32), lambda image, dim: ConvEncoder(image, dim, hidden=8, residual_hidden=4), str(run), dim=8
    )
    weight = network.encoder.state_dict()[FIRST.removeprefix("encoder.")]
    assert torch.equal(weight, contents["vqvae"]["state_dict"][FIRST] + 1)


def test_a_run_without_its_configuration_says_where_its_checkpoints_are(refused, run):
    (run / "config.yaml").unlink()
    for command in (("sample",), ("reconstruct", "--images=."), ("export", "--out=x")):
        said = refused(command[0], run, *command[1:])
        assert said == f"error: there is no checkpoint at {run}: it is a run, so name one of those in {run}/checkpoints"
    (run / "checkpoints").rename(run / "elsewhere")
    folder = "it is a folder, neither of a run nor of an export, so name a file in it"
    assert refused("sample", run) == f"error: there is no checkpoint at {run}: {folder}"


def test_a_run_without_one_is_refused(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.yaml").write_text("model: {}\n")
    fit = ["fit", *SMALL["vqvae"], *STILL]
    for option in ("run.init_from", "ckpt_path"):
        assert "the run empty has no checkpoint yet" in refused(*fit, f"--{option}=empty")
    assert "the run empty has no checkpoint yet" in refused("fit", *SMALL_PRIOR, *STILL, "--model.vqvae=empty")
    assert not list((tmp_path / "runs").glob("*/version_*"))
