"""Networks of the user's own that return other shapes than their base classes say: named, and before anything is lost.

Without the checks a result of one channel would be broadcast over the three of the target, and train in silence.
"""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from gen_experiments.errors import UserError
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.adversarial import LeastSquares, NonSaturating
from gen_experiments.losses.reconstruction import L1
from gen_experiments.models.cut import CUT
from gen_experiments.models.cyclegan import CycleGAN
from gen_experiments.models.munit import MUNIT
from gen_experiments.models.pix2pix import Pix2Pix
from gen_experiments.models.prior import CodePrior
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.networks.autoencoder import ConvEncoder
from gen_experiments.networks.base import Decoder, StyledAutoencoder
from gen_experiments.priors.base import Draws, Prior
from gen_experiments.priors.decoding import Decoding
from gen_experiments.quantizers.gradient import GradientQuantizer
from small_models import adam, sgd
from small_translators import SPEC, Means, Scale, Waves, fit


class Narrow(Scale):
    """Leaves out the last column."""

    def forward(self, images):
        return super().forward(images)[..., :-1]


class Staged(Waves):
    feature_channels = (1, 2)  # the second has one


class Styled(StyledAutoencoder):
    style_dim = 2

    def __init__(self, image, styles=2, columns=None):
        super().__init__()
        self.weight, self.styles, self.columns = nn.Parameter(torch.tensor(0.7)), styles, columns

    def content(self, images):
        return self.weight * images

    def style(self, images):
        return self.weight * images.new_ones(len(images), self.styles)

    def decode(self, contents, styles):
        return (self.weight * contents)[..., : self.columns]


class Vector(L1):
    """A distance for each image."""

    def __call__(self, reconstructions, images):
        return (reconstructions - images).abs().mean((1, 2, 3)).expand(3)


PARTS = {"optimizer_g": sgd, "optimizer_d": sgd, "ema_half_life": 0.0}


def pix2pix(generator=Scale, reconstruction=L1):
    return Pix2Pix(SPEC, generator, Means, NonSaturating(), reconstruction(), **PARTS)


def munit(**options):
    return MUNIT(SPEC, partial(Styled, **options), Means, LeastSquares(), L1(), **PARTS)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            partial(pix2pix, Narrow),
            r"Narrow\.forward must have shape \(1, 1, 2, 2\), not float32 of shape \(1, 1, 2, 1\)",
        ),
        (
            partial(CycleGAN, SPEC, Narrow, Means, LeastSquares(), L1(), **PARTS),
            r"the result of Narrow\.forward must have",
        ),
        (
            partial(CUT, SPEC, Staged, Means, LeastSquares(), stages=(0, 1), patches=4, width=5, **PARTS),
            r"stage 1 of Staged\.features must have shape \(1, 2, 2, 2\), not float32 of shape \(1, 1, 2, 2\)",
        ),
        (partial(munit, styles=3), r"Styled\.style must have shape \(1, 2\), not float32 of shape \(1, 3\)"),
        (partial(munit, columns=1), r"Styled\.decode must have shape \(1, 1, 2, 2\)"),
        (partial(pix2pix, reconstruction=Vector), r"the loss reconstruction must be a scalar tensor, such as a mean"),
    ],
)
def test_translators(tmp_path, model, said):
    with pytest.raises(UserError, match=said):
        fit(model(), tmp_path)


def test_a_translation_outside_of_training():
    with pytest.raises(UserError, match=r"the result of Narrow\.forward must have shape \(3, 1, 2, 2\)"):
        pix2pix(Narrow).translate(torch.zeros(3, 1, 2, 2))


class Grey(Decoder):
    """One channel, which would be broadcast over three."""

    def __init__(self, image, dim):
        super().__init__()
        self.layer = nn.ConvTranspose2d(dim, 1, 4, stride=4)

    @property
    def last_weight(self):
        return self.layer.weight

    def forward(self, latents):
        return self.layer(latents)


class Told(Prior):
    """Returns what it is told to."""

    exact = True

    def __init__(self, codes, shapes):
        super().__init__(codes, 0.0, Decoding())
        self.weight, self.shapes = nn.Parameter(torch.zeros(1)), shapes

    def loss(self, codes, labels, source, images_seen):
        return self.weight.expand(self.shapes["loss"])

    def nll(self, codes, labels, seeds):
        return self.weight.mean().expand(self.shapes["nll"])

    def sample(self, labels, draws, codes=None, unknown=None):
        return torch.zeros(self.shapes["sample"], dtype=torch.int64)


def tokenizer(decoder=Grey):
    return VQVAE(
        ImageSpec(3, 8), partial(ConvEncoder, hidden=4, residual_hidden=2), decoder, GradientQuantizer(4, 5), L1(), adam
    )


def test_a_decoder():
    with pytest.raises(
        UserError, match=r"Grey\.forward must have shape \(2, 3, 8, 8\), not float32 of shape \(2, 1, 8, 8\)"
    ):
        tokenizer()(torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("method", "shape", "said"),
    [
        ("loss", (2,), r"the result of Told\.loss must be a scalar tensor"),
        ("nll", (), r"the result of Told\.nll must have shape \(2,\), not float32 of shape \(\)"),
        ("sample", (2, 3), r"the result of Told\.sample must have shape \(2, 4\), not int64 of shape \(2, 3\)"),
    ],
)
def test_priors(monkeypatch, method, shape, said):
    monkeypatch.setattr(CodePrior, "_load_frozen", lambda self, vqvae: tokenizer())
    right = {"loss": (1,), "nll": (2,), "sample": (2, 4)}
    model = CodePrior(ImageSpec(3, 8), "", partial(Told, shapes=right | {method: shape}), adam)
    model.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    batch = Batch(torch.zeros(2, 3, 8, 8), None)
    steps = {
        "loss": lambda: model.training_step(batch, 0),
        "nll": lambda: model.validation_step(batch, 0),
        "sample": lambda: model.draw(None, Draws([torch.Generator() for _ in range(2)])),
    }
    with pytest.raises(UserError, match=said):
        steps[method]()
