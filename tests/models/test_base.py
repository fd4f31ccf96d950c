"""What every model does around its steps."""

import json
from functools import partial
from types import SimpleNamespace

import torch
from lightning.pytorch import Callback
from torch import nn

from gen_experiments.callbacks.tracking import parameters
from gen_experiments.models.prior import CodePrior
from gen_experiments.networks.autoencoder import PlainDecoder, PlainEncoder
from gen_experiments.priors.masked import MaskedPrior
from gen_experiments.quantizers.gradient import GradientQuantizer
from gen_experiments.schedules import Linear
from small_models import SPEC, adam, fit, vqvae


class Dropping(PlainEncoder):
    """An encoder that notes which of its inputs dropout has left, of the same inputs always."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.dropout, self.kept = nn.Dropout(0.5), []

    def forward(self, images):
        self.kept.append(self.dropout(torch.ones(32)) > 0)
        return super().forward(images)


class Watching(MaskedPrior):
    """A prior that notes the first numbers of what it is to draw from."""

    drawn: list = []  # noqa: RUF012

    def loss(self, codes, labels, source, images_seen):
        self.drawn.append(torch.rand(8, generator=source))
        return super().loss(codes, labels, source, images_seen)


def all_differ(values):
    return len({tuple(value.tolist()) for value in values}) == len(values)


def test_each_of_the_batches_of_a_step_has_a_dropout_of_its_own(tmp_path):
    model = vqvae(encoder=lambda image, dim: Dropping(image, dim, hidden=8))
    fit(model, Callback(), 3, tmp_path, accumulate_grad_batches=2)
    assert len(model.encoder.kept) == 6
    assert all_differ(model.encoder.kept)


def test_each_of_the_batches_of_a_step_has_masks_of_its_own(tmp_path):
    parts = {"encoder": partial(PlainEncoder, hidden=8), "decoder": partial(PlainDecoder, hidden=8)}
    frozen = vqvae(**parts, quantizer=GradientQuantizer(8, 4), optimizer=torch.optim.Adam)
    prior = partial(Watching, width=8, depth=1, heads=2)
    model = CodePrior(SPEC, json.dumps(frozen.hyper_parameters()), prior, adam)
    Watching.drawn.clear()
    fit(model, Callback(), 3, tmp_path, accumulate_grad_batches=2)
    assert len(Watching.drawn) == 6
    assert all_differ(Watching.drawn)


def test_the_average_of_a_prior_follows_by_the_half_life_before_its_step(tmp_path):
    """0 at no images copies after the first step; 8 at 4 of them moves by 1 − √½ at the second."""
    parts = {"encoder": partial(PlainEncoder, hidden=8), "decoder": partial(PlainDecoder, hidden=8)}
    frozen = vqvae(**parts, quantizer=GradientQuantizer(8, 4), optimizer=torch.optim.Adam)
    prior = partial(MaskedPrior, width=8, depth=1, heads=2)
    half_life = Linear(0.0, 8.0, images=4)
    model, weights = CodePrior(SPEC, json.dumps(frozen.hyper_parameters()), prior, adam, half_life), []

    class Weights(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            weights.append(module.prior.network.tokens.weight.detach().clone())

    fit(model, Weights(), 2, tmp_path)
    expected = torch.lerp(*weights, 1 - 0.5**0.5)
    torch.testing.assert_close(model.averaged.network.tokens.weight, expected)
    counts = {name: sum(weight.numel() for weight in getattr(model, name).parameters()) for name in ("vqvae", "prior")}
    assert parameters(model) == counts | {"ema": counts["prior"], "trained": counts["prior"]}


def test_the_last_step_of_an_epoch_counts_the_batches_that_it_has(tmp_path):
    model, steps = vqvae(), []
    model.after_step = steps.append
    trainer = fit(model, Callback(), 8, tmp_path, accumulate_grad_batches=4)  # of 10 batches of 4 images an epoch
    assert steps == [16, 16, 8, 16, 16, 8, 16, 16]
    trainer.datamodule = SimpleNamespace(batch_size=4)
    assert model.run_images == sum(steps) == model.images_seen
