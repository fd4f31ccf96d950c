import pytest
import torch

from gen_experiments.images import ImageSpec
from gen_experiments.networks.resnet import ResNetDiscriminator, ResNetGenerator


def _size(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_pair_is_as_large_as_sngans_for_cifar_10():
    image = ImageSpec(3, 32)
    up = 2 * (9 * 256 * 256 + 256) + (256 * 256 + 256) + 4 * 256
    generator = (128 * 4096 + 4096) + 3 * up + 2 * 256 + (9 * 256 * 3 + 3)
    first = (9 * 3 * 128 + 128) + (9 * 128 * 128 + 128) + (3 * 128 + 128)
    second = 2 * (9 * 128 * 128 + 128) + (128 * 128 + 128)
    discriminator = first + second + 2 * 2 * (9 * 128 * 128 + 128) + 129
    assert _size(ResNetGenerator(image)) == generator
    assert _size(ResNetDiscriminator(image)) == discriminator


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("conditional", [True, False])
def test_the_pair_comes_in_every_power_of_two(size, conditional):
    image = ImageSpec(3, size, num_classes=5)
    # In double precision: in single precision tanh is 1 from 9 on, which the untrained network may reach.
    generator = ResNetGenerator(image, latent_dim=6, width=16, conditional=conditional).double()
    discriminator = ResNetDiscriminator(image, width=16, conditional=conditional).double()
    labels = torch.tensor([1, 4])
    images = generator(torch.randn(2, 6, dtype=torch.float64), labels)
    assert images.shape == (2, *image.shape)
    assert images.abs().max() < 1
    assert discriminator(images, labels).shape == (2,)


def test_weights_start_as_glorots():
    torch.manual_seed(0)
    block = ResNetDiscriminator(ImageSpec(3, 32), spectral_norm=False).blocks[1]
    assert block.conv1.weight.std().item() == pytest.approx(2**0.5 * (2 / (2 * 9 * 128)) ** 0.5, rel=0.02)
    assert block.shortcut.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)


def test_without_batch_norm_nothing_ties_the_images_of_a_batch_together():
    generator = ResNetGenerator(ImageSpec(1, 16, 3), latent_dim=6, width=8, batch_norm=False, conditional=True)
    assert not list(generator.buffers())
    noise, labels = torch.randn(4, 6), torch.tensor([0, 1, 2, 0])
    parts = torch.cat([generator(noise[:1], labels[:1]), generator(noise[1:], labels[1:])])
    assert torch.allclose(generator(noise, labels), parts, atol=1e-6)


def test_the_first_block_sees_dark_pixels():
    torch.manual_seed(0)
    discriminator = ResNetDiscriminator(ImageSpec(1, 16), width=8)
    dark, darker = torch.full((1, 1, 16, 16), -0.5), torch.full((1, 1, 16, 16), -1.0)
    assert discriminator(dark).item() != discriminator(darker).item()
