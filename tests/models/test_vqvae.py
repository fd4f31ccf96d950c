"""Averages of a VQ-VAE's weights, its compilation, and both perplexities."""

import copy
import csv
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch import nn
from torch.utils.data import DataLoader

from conftest import SHORT, SMALL
from gen_experiments.checkpoints.loading import load_model
from gen_experiments.commands.training_data import training_data
from gen_experiments.errors import UserError
from gen_experiments.images import Batch, to_float
from gen_experiments.models.adversary import Adversary
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.networks.base import Discriminator
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.residual import ResidualQuantizer
from gen_experiments.schedules import Constant
from run_files import checkpoint, equal
from small_models import adam, fit, quiet_trainer, vqvae

PARTS = ("encoder", "quantizer", "decoder")


class Weights(Callback):
    """Every part's state, and what was logged, after every iteration."""

    def __init__(self):
        self.states, self.logged = [], []

    def on_train_batch_end(self, trainer, module, *_):
        self.states.append([copy.deepcopy(getattr(module, part).state_dict()) for part in PARTS])
        self.logged.append({name: value.item() for name, value in trainer.callback_metrics.items()})


def watched(model, steps, folder, **options):
    watch = Weights()
    fit(model, watch, steps, folder, **options)
    return watch


def fitted(model, steps, folder):
    return watched(model, steps, folder).states


class Mean(Discriminator):
    """The mean of the pixels, plus the number of the class."""

    def __init__(self, image):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images, labels=None):
        return self.weight * images.mean((1, 2, 3)) + (0 if labels is None else labels)


def test_it_learns_to_make_the_images_of_their_sources(tmp_path):
    model = vqvae(adversary=Adversary(Mean, adam, adaptive=False))
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    batch = Batch(images, torch.arange(4), source_images=-images)
    untrained = copy.deepcopy(model).train()
    watch = Weights()
    trainer = quiet_trainer(watch, 1, tmp_path, log_every_n_steps=1)
    trainer.fit(model, DataLoader([batch], batch_size=None))
    remade = untrained(-images)[0].detach()
    logged = {name.removeprefix("train/"): value for name, value in watch.logged[0].items()}
    assert logged["reconstruction"] == pytest.approx(float((remade - images).square().mean()), rel=1e-5)
    # The discriminator, too, takes the images for real, and not their sources; it sees the labels, of a mean of 1.5.
    assert logged["logit_real"] == pytest.approx(float(images.mean()) + 1.5, rel=1e-5)
    assert logged["logit_fake"] == pytest.approx(float(remade.mean()) + 1.5, rel=1e-5)
    # Not adaptive, the adversarial loss has the weight alone as its factor.
    total = logged["reconstruction"] + logged["quantizer"] + 0.8 * logged["adversarial"]
    assert logged["loss"] == pytest.approx(total, rel=1e-5)


def test_the_averages_of_all_three_parts_by_hand(tmp_path):
    model = vqvae(ema_half_life=Constant(4.0))  # a batch
    expected = [copy.deepcopy(getattr(model, part).state_dict()) for part in PARTS]
    states = fitted(model, 3, tmp_path)
    for state in states:
        for average, part in zip(expected, state, strict=True):
            for name, value in part.items():
                halfway = value.is_floating_point()
                average[name] = (average[name] + value) / 2 if halfway else value
    assert any(name == "codebook" for name in expected[1])
    for average, part in zip(model.averages, expected, strict=True):
        for name, value in average.module.state_dict().items():
            if not name.endswith("_extra_state"):  # the count of steps, which only training asks for
                torch.testing.assert_close(value, part[name], msg=name)


def test_a_half_life_in_images_warms_up(tmp_path):
    """After a first copy the half-life is a twentieth of the images seen before the batch: 0.2, then 0.4 images."""
    model = vqvae(ema_half_life=1e9)
    first, second, third = fitted(model, 3, tmp_path)
    for average, *weights in zip(model.averages, first, second, third, strict=True):
        for name, value in average.module.state_dict().items():
            if not name.endswith("_extra_state") and value.is_floating_point():
                after_two = torch.lerp(weights[0][name], weights[1][name], 1 - 0.5 ** (4 / 0.2))
                expected = torch.lerp(after_two, weights[2][name], 1 - 0.5 ** (4 / 0.4))
                torch.testing.assert_close(value, expected, msg=name)


def test_averages_are_what_is_evaluated_and_never_what_is_trained(tmp_path):
    images = torch.rand(2, 1, 8, 8) * 2 - 1
    plain, averaged = vqvae(), vqvae(ema_half_life=Constant(1e9))  # such an average stays where it began
    start = copy.deepcopy(averaged).eval()
    states = fitted(plain, 3, tmp_path / "plain"), fitted(averaged, 3, tmp_path / "averaged")
    assert equal(*states)
    assert not torch.allclose(plain.eval().reconstruct(images), start.reconstruct(images), atol=1e-3)
    assert torch.allclose(averaged.eval().reconstruct(images), start.reconstruct(images), atol=1e-5)
    codes = averaged.encode(images)
    assert torch.equal(codes, start.encode(images))
    assert torch.allclose(averaged.decode(codes), averaged.reconstruct(images))
    trained = {id(weight) for group in averaged.optimizers().param_groups for weight in group["params"]}
    assert not trained & {id(weight) for weight in averaged.averages.parameters()}


def test_a_negative_half_life_is_refused():
    with pytest.raises(UserError, match="ema_half_life must be >= 0, not -1"):
        vqvae(ema_half_life=-1.0)


def test_a_resumed_run_ends_with_the_same_averages(experiment, tmp_path):
    options = [*SMALL["vqvae"], *SHORT, "--model.ema_half_life=100", "--trainer.val_check_interval=3"]
    options += ["--model.lr_schedule.images=1000"]
    assert experiment("fit", *options, "--run.name=whole", "--trainer.max_steps=6") == 0
    assert experiment("fit", *options, "--run.name=part", "--trainer.max_steps=3") == 0
    assert experiment("fit", *options, "--run.name=part", "--trainer.max_steps=6", "--ckpt_path=last") == 0
    folder = tmp_path / "runs"
    unbroken = checkpoint(folder / "whole" / "version_0" / "checkpoints" / "last.ckpt")["state_dict"]
    resumed = checkpoint(folder / "part" / "version_0" / "checkpoints" / "last.ckpt")["state_dict"]
    assert any(name.startswith("averages") for name in unbroken)
    assert equal(resumed, unbroken)


def test_a_compiled_vqvae_has_the_same_weights_and_names(tmp_path):
    with torch.compiler.set_stance("force_eager"):
        compiled = vqvae(compile=True)
        states = fitted(compiled, 2, tmp_path / "compiled")
    assert compiled.encoder._compiled_call_impl is not None
    plain = vqvae()
    assert equal(states, fitted(plain, 2, tmp_path / "plain"))
    assert compiled.state_dict().keys() == plain.state_dict().keys()


def test_only_training_waits_for_the_compiler():
    model = vqvae(compile=True)
    model.eval().reconstruct(torch.zeros(1, 1, 8, 8))
    assert model.encoder._compiled_call_impl is None


@pytest.mark.parametrize("levels", [1, 2])
def test_codes_revived_are_logged(tmp_path, levels):
    def model():
        quantizer = ResidualQuantizer(partial(EMAQuantizer, 8, 4, revive_below=1e6), depth=levels)  # all are dead
        return vqvae(quantizer=quantizer)

    logged = watched(model(), 5, tmp_path, log_every_n_steps=5).logged
    assert logged[4]["train/codes_revived"] == levels * 4 * 8  # the first iteration starts the codes
    part = Weights()
    fit(model(), part, 2, tmp_path, log_every_n_steps=5).save_checkpoint(tmp_path / "part.ckpt")
    assert part.logged == [{}, {}]
    logged = watched(model(), 5, tmp_path, ckpt_path=tmp_path / "part.ckpt", log_every_n_steps=5).logged
    assert logged[-1]["train/codes_revived"] == levels * 4 * 8


def numpy_perplexity(codes):
    shares = np.unique(codes, return_counts=True)[1] / codes.size
    return float(np.exp(-(shares * np.log(shares)).sum()))


def test_both_perplexities_are_those_of_the_test_images(experiment, checkpoints, tmp_path):
    run = tmp_path / "copied"
    shutil.copytree(checkpoints["vqvae"].parent.parent, run)
    path = run / "checkpoints" / "last.ckpt"
    # Batches of the evaluation that are no multiple of 32 images.
    assert experiment("test", *SMALL["vqvae"], "--data.eval_batch_size=50", f"--ckpt_path={path}") == 0
    (row,) = csv.DictReader((run / "scores.csv").open())
    images = training_data(str(path), None).split("test")
    with torch.no_grad():
        codes = load_model(path, VQVAE, "test").encode(to_float(images.read(np.arange(len(images))))).numpy()
    assert float(row["test/perplexity"]) == pytest.approx(numpy_perplexity(codes), rel=1e-3)
    # 180 images are five full batches of 32 images with 8x8 codes each.
    of_batches = [numpy_perplexity(codes[start : start + 32]) for start in range(0, 160, 32)]
    assert float(row["test/batch_perplexity"]) == pytest.approx(np.mean(of_batches), rel=1e-3)
    assert np.mean(of_batches) < 0.999 * numpy_perplexity(codes)
