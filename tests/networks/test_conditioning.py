"""Labels and spectral norm, which every pair takes."""

import copy
import re

import pytest
import torch
from torch import nn

from conftest import SHORT, SMALL
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.networks.base import Generator
from gen_experiments.networks.conditioning import ConditionalNorm, LogitHead
from gen_experiments.networks.discriminators import DCGANDiscriminator, PlainDiscriminator
from gen_experiments.networks.generators import DCGANGenerator, PlainGenerator
from gen_experiments.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from gen_experiments.networks.resnet import ResNetDiscriminator, ResNetGenerator

IMAGE = ImageSpec(1, 16, num_classes=3)
GENERATORS = [
    (DCGANGenerator, {"width": 8}),
    (PlainGenerator, {}),
    (ResNetGenerator, {"width": 8}),
    (R3GANGenerator, {"width": 8}),
]
DISCRIMINATORS = [
    (DCGANDiscriminator, {"width": 8, "batch_norm": False}),
    (PlainDiscriminator, {}),
    (ResNetDiscriminator, {"width": 8}),
    (R3GANDiscriminator, {"width": 8}),
]


@pytest.mark.parametrize(("kind", "options"), GENERATORS)
def test_generators_learn_from_labels(kind, options):
    generator = kind(IMAGE, conditional=True, **options)
    assert (generator.num_classes, kind(IMAGE, **options).num_classes) == (3, None)
    embedding = next(m for m in generator.modules() if isinstance(m, nn.Embedding))
    generator(torch.randn(4, generator.latent_dim), torch.tensor([0, 2, 2, 0])).square().sum().backward()
    assert embedding.weight.grad[[0, 2]].abs().sum(dim=1).min() > 0
    assert not embedding.weight.grad[1].any()


# R3GAN's published embedding is as large as the noise needs it to be there, and has a test of its own.
@pytest.mark.parametrize(("kind", "options"), [pair for pair in GENERATORS if pair[0] is not R3GANGenerator])
def test_images_start_from_the_noise_more_than_from_the_label(kind, options):
    torch.manual_seed(0)
    generator = kind(IMAGE, conditional=True, **options)
    noise = torch.randn(60, generator.latent_dim)
    by_noise = generator(noise, torch.ones(60, dtype=torch.int64)).var(dim=0).mean()
    by_label = generator(noise[:1].expand(60, -1), torch.arange(3).repeat(20)).var(dim=0).mean()
    assert by_noise > 10 * by_label


@pytest.mark.parametrize(("kind", "options"), DISCRIMINATORS)
def test_discriminators_judge_labels(kind, options):
    torch.manual_seed(0)
    discriminator = kind(IMAGE, conditional=True, **options).eval()
    images = torch.randn(1, 1, 16, 16).expand(3, -1, -1, -1)
    assert len(set(discriminator(images, torch.arange(3)).tolist())) == 3
    assert (discriminator.num_classes, kind(IMAGE, **options).num_classes) == (3, None)


@pytest.mark.parametrize(("kind", "options"), DISCRIMINATORS)
@pytest.mark.parametrize("conditional", [False, True])
def test_judged_images_get_a_gradient(kind, options, conditional):
    """Without one a generator learns nothing."""
    images = torch.randn(2, 1, 16, 16, requires_grad=True)
    kind(IMAGE, conditional=conditional, **options)(images, torch.tensor([0, 1])).sum().backward()
    assert images.grad.abs().sum((1, 2, 3)).min() > 0


@pytest.mark.parametrize(("kind", "options"), GENERATORS + DISCRIMINATORS)
def test_labels_are_asked_for_and_otherwise_ignored(kind, options):
    with pytest.raises(UserError, match="needs data with labels"):
        kind(ImageSpec(1, 16), conditional=True, **options)
    network = kind(IMAGE, **options).eval()
    given = torch.randn(2, network.latent_dim) if isinstance(network, Generator) else torch.randn(2, 1, 16, 16)
    with pytest.raises(UserError, match="needs the labels"):
        kind(IMAGE, conditional=True, **options)(given)
    assert torch.equal(network(given, torch.tensor([0, 1])), network(given))


def test_a_projection_by_hand():
    head = LogitHead(2, 3)
    head.load_state_dict(
        {
            "linear.weight": torch.tensor([[1.0, -1.0]]),
            "linear.bias": torch.tensor([0.5]),
            "embedding.weight": torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]]),
        }
    )
    logits = head(torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 1.0]]), torch.tensor([0, 1, 2]))
    assert logits.tolist() == [-0.5, 1.5, 5.5]


def test_a_conditional_norm_starts_as_batch_norm_and_scales_by_label():
    x, labels = torch.randn(8, 4, 3, 3), torch.arange(8) % 2
    norm = ConditionalNorm(4, 2, batch_norm=True)
    plain = nn.BatchNorm2d(4)(x)
    assert torch.allclose(norm(x, labels), plain, atol=1e-6)
    with torch.no_grad():
        norm.affine.weight[1] = torch.tensor([2.0] * 4 + [1.0] * 4)
    assert torch.allclose(norm(x, labels)[1::2], 2 * plain[1::2] + 1, atol=1e-5)
    assert torch.allclose(norm(x, labels)[::2], plain[::2], atol=1e-5)


@pytest.mark.parametrize(("kind", "options"), DISCRIMINATORS)
def test_spectral_norm_holds_every_singular_value_at_one(kind, options):
    torch.manual_seed(0)
    discriminator = kind(IMAGE, spectral_norm=True, conditional=True, **options)
    images, labels = torch.randn(4, 1, 16, 16), torch.tensor([0, 1, 2, 0])
    for _ in range(30):
        discriminator(images, labels)
    discriminator.eval()
    layers = [m for m in discriminator.modules() if isinstance(m, (nn.Linear, nn.Conv2d, nn.Embedding))]
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.02)
    twin = copy.deepcopy(discriminator)
    assert torch.equal(twin(images, labels), discriminator(images, labels))


@pytest.mark.parametrize(("kind", "options"), DISCRIMINATORS)
def test_gradients_can_be_penalised(kind, options):
    discriminator = kind(IMAGE, spectral_norm=True, **options)
    images = torch.randn(2, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in discriminator.parameters() if p.grad is not None)


def test_labels_that_only_one_of_both_networks_is_given_and_other_options_without_effect_are_said(experiment, mistake):
    options = [*SMALL["gan"], *SHORT, "--trainer.max_steps=1", "--evaluation.extractor=null"]
    assert "set generator.conditional to true" in mistake("fit", *options, "--model.discriminator.conditional=true")
    useless = ["--model.generator.conditional=true", "--model.augmentation_strength=0.5"]
    useless += [
        "--model.penalties=null",
        "--model.penalty_schedule=Constant",
        "--data.damage=[{class_path: ShotNoise}]",
    ]
    useless += ["--evaluation.metrics=[mind]", "--trainer.callbacks+=StopOnDivergence", "--trainer.callbacks.rate=0.25"]
    with pytest.warns(UserWarning, match="nothing teaches the generator its classes") as warned:
        assert experiment("fit", *options, *useless) == 0
    said = re.findall(r"(\S+(?:, \S+)*) ha(?:s|ve) no effect", "\n".join(str(warning.message) for warning in warned))
    without = [
        "augmentation_strength",
        "penalty_schedule",
        "data.damage",
        "evaluation.metrics",
        "StopOnDivergence.rate",
    ]
    assert sorted(said) == sorted(without)
