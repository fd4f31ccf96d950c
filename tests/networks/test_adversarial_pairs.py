import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.networks.autoencoder import PlainDecoder, PlainEncoder
from gen_experiments.networks.discriminators import DCGANDiscriminator, PlainDiscriminator
from gen_experiments.networks.generators import DCGANGenerator, PlainGenerator
from gen_experiments.networks.patch import PatchDiscriminator
from gen_experiments.networks.r3gan import R3GANGenerator
from gen_experiments.networks.resnet import ResNetGenerator
from gen_experiments.networks.unet import UNet


def _size(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_dcgan_comes_in_every_power_of_two(size, batch_norm):
    image = ImageSpec(3, size)
    generator = DCGANGenerator(image, latent_dim=10, width=4, batch_norm=batch_norm)
    discriminator = DCGANDiscriminator(image, width=4, batch_norm=batch_norm)
    images = generator(torch.randn(2, 10))
    assert images.shape == (2, *image.shape)
    assert images.abs().max() < 1
    assert discriminator(images).shape == (2,)


def test_dcgan_has_the_weights_of_its_layers():
    image = ImageSpec(3, 32)
    # Batch norm takes the place of the bias in front of it and brings two numbers a channel.
    generator = 16 * (100 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 3 + 2 * (256 + 128 + 64)
    discriminator = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256) + 64 + 1 + 2 * (128 + 256)
    assert _size(DCGANGenerator(image, latent_dim=100)) == generator
    assert _size(DCGANDiscriminator(image)) == discriminator


def test_channels_stop_doubling_at_eight_widths():
    for network in (DCGANGenerator, DCGANDiscriminator, partial(PatchDiscriminator, layers=5), UNet):
        layers = network(ImageSpec(1, 256), width=2).modules()
        assert max(layer.out_channels for layer in layers if hasattr(layer, "out_channels")) == 16


def test_the_plain_networks_by_their_formulas():
    """Two linear maps each, with a LeakyReLU of slope 0.2 or a ReLU in between, and tanh where images are made."""
    image, noise = ImageSpec(2, 3), torch.randn(5, 8)
    images, latents = torch.randn(5, 2, 3, 3), torch.randn(5, 4, 2, 2)

    def formula(network, x, slope=0.0):
        first, second = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
        x = x.flatten(1) @ first.weight.T + first.bias
        return torch.where(x > 0, x, slope * x) @ second.weight.T + second.bias

    discriminator, generator = PlainDiscriminator(image, hidden=6), PlainGenerator(image, 8, hidden=6)
    torch.testing.assert_close(discriminator(images), formula(discriminator, images, 0.2)[:, 0])
    torch.testing.assert_close(generator(noise).flatten(1), formula(generator, noise).tanh())
    encoder, decoder = PlainEncoder(image, 4, hidden=6, grid=2), PlainDecoder(image, 4, hidden=6, grid=2)
    torch.testing.assert_close(encoder(images).flatten(1), formula(encoder, images))
    torch.testing.assert_close(decoder(latents).flatten(1), formula(decoder, latents).tanh())


def test_dcgan_starts_as_the_paper_says():
    torch.manual_seed(0)
    for network in (DCGANGenerator(ImageSpec(3, 32)), DCGANDiscriminator(ImageSpec(3, 32))):
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
                assert abs(module.weight.mean().item()) < 2e-3
            elif isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
                assert not module.bias.any()


def test_without_batch_norm_nothing_ties_the_images_of_a_batch_together():
    image = ImageSpec(1, 16)
    generator = DCGANGenerator(image, latent_dim=8, width=4, batch_norm=False)
    discriminator = DCGANDiscriminator(image, width=4, batch_norm=False)
    assert not [*generator.buffers(), *discriminator.buffers()]
    noise = torch.randn(6, 8)
    whole = discriminator(generator(noise))
    parts = torch.cat([discriminator(generator(noise[:2])), discriminator(generator(noise[2:]))])
    assert torch.allclose(whole, parts, atol=1e-6)


@pytest.mark.parametrize("network", [DCGANGenerator, DCGANDiscriminator])
@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        (8, r"16 or 20"),
        (36, r"32 or 40"),
        (512, r"224 or 256"),
        ((60, 100), r"\[56, 96\] or \[64, 96\]"),
        ((90, 64), r"\[88, 56\] or \[96, 64\]"),
    ],
)
def test_other_sizes_are_refused_with_the_nearest_that_are_taken(network, size, nearest):
    shown = size if isinstance(size, int) else f"{size[0]}x{size[1]}"
    with pytest.raises(UserError, match=f"images of {shown}: .* {nearest}$"):
        network(ImageSpec(3, size))


def test_the_plain_pair_takes_any_size():
    image = ImageSpec(1, 28)
    generator, discriminator = PlainGenerator(image), PlainDiscriminator(image)
    images = generator(torch.randn(5, 64))
    assert images.shape == (5, 1, 28, 28)
    assert images.abs().max() < 1
    assert discriminator(images).shape == (5,)
    assert _size(generator) == (64 * 128 + 128) + (128 * 784 + 784)
    assert _size(discriminator) == (784 * 128 + 128) + (128 + 1)


@pytest.mark.parametrize("network", [DCGANGenerator, PlainGenerator, DCGANDiscriminator, PlainDiscriminator])
def test_networks_can_be_copied_and_pickled(network):
    original = network(ImageSpec(1, 16))
    for twin in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        assert all(torch.equal(a, b) for a, b in zip(original.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize("kind", [DCGANGenerator, PlainGenerator, R3GANGenerator, ResNetGenerator])
@pytest.mark.parametrize("conditional", [False, True])
def test_the_first_weight_is_what_the_noise_meets(kind, conditional):
    """Noise in the kernel of the first weight changes nothing."""
    size = {"hidden": 2} if kind is PlainGenerator else {"width": 16} if kind is R3GANGenerator else {"width": 1}
    generator = kind(ImageSpec(1, 16, 3), latent_dim=300, conditional=conditional, **size).eval()
    noise = torch.randn(2, 300)
    _, _, directions = torch.linalg.svd(generator.first_weight.detach())
    labels = torch.tensor([0, 2]) if conditional else None
    with torch.no_grad():
        torch.testing.assert_close(
            generator(noise + 5 * directions[-1], labels), generator(noise, labels), atol=1e-4, rtol=0
        )
        assert not torch.allclose(generator(noise + 5 * directions[0], labels), generator(noise, labels), atol=1e-4)
