"""The projected discriminator: against an independent implementation, and its part that does not learn."""

import functools

import pytest
import torch
from torch.nn import functional as F

import gen_experiments
from conftest import SHORT, SMALL
from formula_weights import CLOSE, of_norm_one, prepared, settled, waves
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.losses.adversarial import Hinge
from gen_experiments.networks.autoencoder import ConvEncoder
from gen_experiments.networks.projected import ProjectedDiscriminator
from small_models import gan, train

ENCODER = functools.partial(ConvEncoder, hidden=4, residual_hidden=2, residual_blocks=1)
IMAGE = ImageSpec(channels=3, size=32, num_classes=5)


def small(image=IMAGE, **options):
    return ProjectedDiscriminator(image, ENCODER, **{"dim": 3, "mixed": 2, "width": 1, **options})


def doubled(x):
    """Bilinear, with the corners of both grids on one another: n pixels lie at 0, (n-1)/(2n-1), 2(n-1)/(2n-1), ..."""
    for axis in (2, 3):
        n = x.shape[axis]
        at = torch.arange(2 * n, dtype=torch.float64) * (n - 1) / (2 * n - 1)
        matrix = (1 - (at[:, None] - torch.arange(n)).abs()).clamp_min(0)
        x = torch.movedim(torch.movedim(x, axis, -1) @ matrix.T, -1, axis)
    return x


def leaky(x):
    return torch.maximum(x, 0.2 * x)


def normalised(x, factor, offset):
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt() * factor[None, :, None, None] + offset[None, :, None, None]


@pytest.mark.parametrize(("labels", "pixels"), [(None, False), (torch.tensor([4, 0, 2]), False), (None, True)])
def test_it_is_the_authors_network(labels, pixels):
    """Its official code's pg_modules: projector.py (CCM and CSM, `expand`), blocks.py, and discriminator.py.

    With pixels there is one more of its discriminators, which sees the images.
    """
    network, weights = prepared(small(conditional=labels is not None, pixels=pixels))
    settled(network)
    x = waves(3, 3, 32, 32)

    def convolved(x, **options):
        return F.conv2d(x, next(weights), next(weights), **options)

    finest = convolved(x, stride=2, padding=1).relu()
    h = convolved(convolved(finest, stride=2, padding=1).relu(), padding=1).relu()
    h = (h + convolved(convolved(h.relu(), padding=1).relu())).relu()
    coarsest = convolved(h)
    finest, coarsest = convolved(finest), convolved(coarsest)
    kernels = [(next(weights), next(weights)) for _ in range(2)]
    coarsest = doubled(coarsest)
    finest = doubled(finest + F.conv2d(coarsest, *kernels[1]))
    mixtures = [F.conv2d(finest, *kernels[0]), F.conv2d(coarsest, *kernels[1])]
    assert [mixture.shape[1:] for mixture in mixtures] == [(2, 32, 32), (2, 16, 16)]

    logits = []
    for judged, halvings in [*([(x, 2)] if pixels else []), (mixtures[0], 2), (mixtures[1], 1)]:
        h = judged
        for _ in range(halvings):
            bias, kernel = next(weights), of_norm_one(next(weights))
            h = F.conv2d(h, kernel, bias, stride=2, padding=1)
            h = leaky(normalised(h, next(weights), next(weights)))
        assert h.shape[1:] == (8, 8, 8)
        patches = F.conv2d(h, of_norm_one(next(weights)))
        if labels is not None:
            embedded = next(weights)[labels]
            factors = leaky(embedded @ next(weights).T + next(weights))
            patches = (patches * factors[:, :, None, None]).sum(dim=1) / 8
        logits.append(patches.flatten(1))
    assert next(weights, None) is None
    torch.testing.assert_close(network(x, labels), torch.cat(logits, dim=1), **CLOSE)


def test_what_is_fixed_passes_gradients_and_gets_none():
    network = small(conditional=True).train()
    fixed = [network.encoder, network.mixing]
    assert not any(module.training for part in fixed for module in part.modules())
    assert all(module.training for module in network.judges.modules())
    images = torch.randn(2, 3, 32, 32, requires_grad=True)
    network(images, torch.tensor([1, 3])).mean().backward()
    assert images.grad.abs().sum() > 0
    assert all(weight.grad is None for part in fixed for weight in part.parameters())
    assert all(weight.grad is not None for weight in network.judges.parameters())


def test_training_leaves_alone_what_is_fixed(tmp_path):
    model = gan(discriminator=small, loss=Hinge())
    start = {name: weight.clone() for name, weight in model.discriminator.state_dict().items()}
    trainer, history = train(model, 2, tmp_path)
    optimised = {id(weight) for group in trainer.optimizers[0].param_groups for weight in group["params"]}
    assert optimised == {id(weight) for weight in model.discriminator.judges.parameters()}
    judged = [f"judges.{name}" for name, _ in model.discriminator.judges.named_parameters()]
    fixed = [name for name in start if name.startswith(("encoder.", "mixing."))]
    end = history.discriminator[-1]
    assert not any(torch.equal(end[name], start[name]) for name in judged)
    assert all(torch.equal(end[name], start[name]) for name in fixed)
    assert len(fixed) > 10


PROJECTED = (
    "--model.discriminator=ProjectedDiscriminator",
    "--model.discriminator.encoder=ConvEncoder",
    "--model.discriminator.encoder.hidden=8",
    "--model.discriminator.encoder.residual_hidden=4",
    "--model.discriminator.dim=8",
    "--model.discriminator.mixed=4",
    "--model.penalties=null",
    "--model.loss=Hinge",
    "--trainer.max_steps=2",
)


def test_a_run_takes_the_encoder_of_a_vqvae_and_its_checkpoint_needs_no_other_file(experiment, checkpoints, tmp_path):
    given = tmp_path / "vqvae.ckpt"
    given.write_bytes(checkpoints["vqvae"].read_bytes())
    options = [*SMALL["gan"], *SHORT, *PROJECTED, "--evaluation.extractor=null"]
    assert experiment("fit", *options, f"--model.discriminator.weights={given}") == 0
    given.unlink()
    path = tmp_path / "runs" / "gan" / "version_0" / "checkpoints" / "last.ckpt"
    assert experiment("export", path, "--formats=[safetensors]", "--out=exported") == 0
    of_vqvae = torch.load(checkpoints["vqvae"], weights_only=True)["state_dict"]
    encoder = {name: weight for name, weight in of_vqvae.items() if name.startswith("encoder.")}
    images, logits = waves(3, 1, 32, 32).float(), []
    for trained in (path, tmp_path / "exported"):
        network = gen_experiments.load(trained).discriminator
        held = network.state_dict()
        assert encoder
        assert all(torch.equal(held[name], weight) for name, weight in encoder.items())
        logits.append(network(images))
    assert torch.equal(*logits)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("weights=nowhere.ckpt", "there is no checkpoint at nowhere.ckpt"),
        ("weights={gan}", "holds no encoder as discriminator.encoder describes it"),
        ("dim=4", "holds no encoder as discriminator.encoder describes it"),
        ("encoder.downsamplings=5", "leaves 1 pixels of 32, and 2 are needed: set fewer downsamplings"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(experiment, checkpoints, capsys, option, message):
    weights = [] if "down" in option else [f"--model.discriminator.weights={checkpoints['vqvae']}"]
    option = f"--model.discriminator.{option.format(gan=checkpoints['gan'])}"
    assert experiment("fit", *SMALL["gan"], *SHORT, *PROJECTED, *weights, option) == 1
    assert message in capsys.readouterr().err


def test_labels_are_asked_for():
    with pytest.raises(UserError, match="needs data with labels"):
        small(ImageSpec(3, 32), conditional=True)
    with pytest.raises(UserError, match="needs the labels"):
        small(conditional=True)(torch.zeros(1, 3, 32, 32))
