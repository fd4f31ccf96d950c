"""A prior that proposes restorations, through the command line."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from conftest import CONFIGS, SHORT, SMALL_PRIOR
from gen_experiments import load
from gen_experiments.images import to_float, to_uint8
from gen_experiments.priors.decoding import DecodingChanges
from independent import column, digits, held_out, psnr, read_pictures
from pictures_on_disk import write_pictures
from run_files import checkpoint, curve, equal
from test_devices import assert_trained_as_one, train

RECIPE = CONFIGS / "experiments" / "translation" / "restoration_prior_digits.yaml"
# Nothing of this is drawn, so that the damaged digits are known without the package.
SCALED = "--data.damage=[{class_path: DownScaling, init_args: {factors: [8]}}]"


def smaller(images):
    return F.interpolate(F.avg_pool2d(to_float(images), 8), images.shape[-2:], mode="bicubic").clamp(-1, 1)


@pytest.fixture
def options(checkpoints):
    return [SMALL_PRIOR[0], f"--config={RECIPE}", *SMALL_PRIOR[1:], *SHORT, f"--model.vqvae={checkpoints['vqvae']}"]


def test_the_recipe_proposes_restorations_of_each_picture(experiment, refused, options, tmp_path, capsys):
    assert experiment("fit", *options) == 0
    run = tmp_path / "runs" / "restoration_prior_digits" / "version_0"
    last = run / "checkpoints" / "last.ckpt"
    assert list((run / "images").glob("translations-*.png"))
    write_pictures(tmp_path / "in" / "class", 3, size=(32, 32), mode="L")
    assert experiment("restore", last, "--images=in", "--out=out", "--proposals=2", "--seed=5") == 0
    pictures = read_pictures(sorted((tmp_path / "in").rglob("*.png")))
    model, drawn = load(last), []
    for number in range(2):
        files = sorted((tmp_path / "out" / f"proposal_{number + 1}" / "class").iterdir())
        assert [file.name for file in files] == ["000.png", "001.png", "002.png"]
        drawn.append(read_pictures(files))
        # One by one and in another order: a proposal depends on its own picture alone.
        again = [to_uint8(model.propose(to_float(pictures[i : i + 1]), number, 5)) for i in (2, 0, 1)]
        assert torch.equal(torch.cat(again), drawn[number][[2, 0, 1]])
    assert not torch.equal(*drawn)
    assert not torch.equal(to_uint8(model.propose(to_float(pictures), 0, 6)), drawn[0])
    capsys.readouterr()
    assert experiment("restore", last, "--images=in", "--proposals=4") == 0
    assert "wrote 3 damaged images above 4 proposals each to restored.png" in capsys.readouterr().out
    assert read_pictures([tmp_path / "restored.png"]).shape[-2:] == (5 * 34 + 2, 8 * 34 + 2)
    assert experiment("restore", last, "--images=in", "--damaging", "--proposals=2") == 0
    assert "dB damaged" in capsys.readouterr().out
    assert experiment("export", last, "--formats=[safetensors]", "--out=exported") == 0
    assert experiment("restore", "exported", "--images=in", "--out=again", "--proposals=2", "--seed=5") == 0
    again = read_pictures(sorted((tmp_path / "again" / "proposal_2" / "class").iterdir()))
    assert torch.equal(again, drawn[1])
    likeliest = ["restore", last, "--images=in", "--out=likeliest", "--seed=5", "--decoding.top_k=1"]
    assert experiment(*likeliest) == 0
    model.decode_by(DecodingChanges(top_k=1))
    likeliest = read_pictures(sorted((tmp_path / "likeliest" / "class").iterdir()))
    assert torch.equal(to_uint8(model.propose(to_float(pictures), 0, 5)), likeliest)
    assert not torch.equal(likeliest, drawn[0])
    assert "guidance is for priors of classes" in refused("restore", last, "--images=in", "--decoding.guidance=1")
    assert "leave out --proposals" in refused("restore", last, "--images=in", "--proposals=2", "--whole", "--out=out")
    assert "proposals must be >= 1" in refused("restore", last, "--images=in", "--proposals=0")
    assert "damage the images by data.damage" in refused("fit", *options, "--data.damage=null")
    write_pictures(tmp_path / "pairs", 40, size=(32, 32), mode="L")
    pairs = ["--data.damage=null", "--data.source=PairedFolders", "--data.source.a=pairs", "--data.source.b=pairs"]
    pairs += ["--data.source.channels=1", "--evaluation.extractor=null"]
    assert "learns from pairs that show the same" in refused("fit", *options, *pairs, "--data.source.shuffled=true")


def test_what_is_validated_is_the_first_proposal_and_the_likelihood_of_the_images_codes(experiment, options, tmp_path):
    small = ["--model.prior=AutoregressivePrior", "--model.prior.width=16", "--model.prior.depth=1"]
    of_masks = [option for option in options if "model.prior" not in option]
    assert experiment("fit", *of_masks, *small, "--model.prior.heads=2", SCALED, "--trainer.max_steps=2") == 0
    run = tmp_path / "runs" / "restoration_prior_digits" / "version_0"
    truth = digits(32)[0][held_out(1797)["val"]]
    model = load(run / "checkpoints" / "last.ckpt")
    sources = smaller(truth)
    with torch.inference_mode():
        made = to_uint8(model.propose(sources))
        given, codes = model.vqvae.encode(sources).flatten(1), model.vqvae.encode(to_float(truth)).flatten(1)
        logits = model.averaged.logits(torch.cat([given, codes], dim=1), torch.zeros(len(truth), dtype=torch.int64))
    nats = -logits[:, 64:].log_softmax(dim=-1).gather(-1, codes[..., None])
    assert not np.array_equal(given, codes)
    expected = {
        "psnr": psnr(made, truth).mean(),
        "psnr_gain": (psnr(made, truth) - psnr(to_uint8(sources), truth)).mean(),
        "nll": float(nats.mean()) / math.log(2),
    }
    found = {name: column(run / "metrics.csv", f"val/{name}")[-1] for name in expected}
    assert found == pytest.approx(expected, rel=2e-3)


# Of 240 training digits 64 make three iterations an epoch: the run stops within the first, and the second damages every
# digit anew.
def test_a_resumed_run_ends_with_the_same_weights(experiment, options, tmp_path):
    options = [*options, "--data.batch_size=64", "--data.flip=true", "--trainer.val_check_interval=5"]
    options += ["--data.val_size=60", "--data.test_size=1497"]
    options += ["--evaluation.extractor=null", "--trainer.limit_val_batches=1", "--model.lr_schedule.images=640"]
    assert experiment("fit", *options, "--run.name=whole", "--trainer.max_steps=5") == 0
    assert experiment("fit", *options, "--run.name=part", "--trainer.max_steps=2") == 0
    assert experiment("fit", *options, "--run.name=part", "--trainer.max_steps=5", "--ckpt_path=last") == 0
    folders = [tmp_path / "runs" / name / "version_0" for name in ("part", "whole")]
    resumed, unbroken = (checkpoint(folder / "checkpoints" / "last.ckpt") for folder in folders)
    assert resumed["global_step"] == unbroken["global_step"] == 5
    for key in ("state_dict", "optimizer_states", "images_seen", "epoch"):
        assert equal(resumed[key], unbroken[key]), key
    assert curve(folders[0]) == curve(folders[1])


@pytest.mark.long
def test_two_processes_train_as_one(options, tmp_path):
    (alone,) = train(options, "alone", tmp_path, 1)
    assert_trained_as_one(alone, train(options, "devices", tmp_path, 1))
