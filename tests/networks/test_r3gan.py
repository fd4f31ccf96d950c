import pytest
import torch
from torch import nn
from torch.nn.functional import leaky_relu

from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.networks.r3gan import R3GANDiscriminator, R3GANGenerator


def _size(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_pair_is_as_large_as_published():
    image = ImageSpec(3, 32, num_classes=10)
    # 1×1 768→1536, 3×3 1536→1536 in groups of 16, 1×1 1536→768, and two biases, in each of eight blocks.
    blocks = 8 * (768 * 1536 + 1536 * 16 * 9 + 1536 * 768 + 2 * 1536)
    generator = 10 * 64 + 16 * 768 + 128 * 768 + blocks + 768 * 3
    discriminator = 3 * 768 + blocks + 16 * 768 + 768 * 768 + 10 * 768
    with torch.device("meta"):
        assert _size(R3GANGenerator(image, conditional=True)) == generator == 20_781_952
        assert _size(R3GANDiscriminator(image, conditional=True)) == discriminator == 21_280_512


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("conditional", [True, False])
def test_the_pair_comes_in_every_power_of_two(size, conditional):
    image = ImageSpec(3, size, num_classes=5)
    width = max(8, size // 4)
    generator = R3GANGenerator(image, latent_dim=6, width=width, blocks=1, conditional=conditional)
    discriminator = R3GANDiscriminator(image, width=width, blocks=1, conditional=conditional)
    labels = torch.tensor([1, 4])
    images = generator(torch.randn(2, 6), labels)
    assert images.shape == (2, *image.shape)
    assert discriminator(images, labels).shape == (2,)
    assert not [*generator.buffers(), *discriminator.buffers()]


def _blocks(network):
    return [module for module in network.modules() if type(module).__name__ == "_Block"]


def test_blocks_start_as_the_identity():
    for network in (R3GANGenerator(ImageSpec(3, 32), width=64), R3GANDiscriminator(ImageSpec(3, 32), width=64)):
        assert len(_blocks(network)) == 8
        x = torch.randn(2, 64, 8, 8)
        assert all(torch.equal(block(x), x) for block in _blocks(network))


def test_a_blocks_inner_layers_keep_the_scale_up_to_the_fix_up_factor():
    torch.manual_seed(0)
    block = _blocks(R3GANGenerator(ImageSpec(3, 32), width=128))[0]
    x = torch.randn(16, 128, 8, 8)
    with torch.no_grad():
        first = leaky_relu(block.conv1(x), 0.2)
        second = leaky_relu(block.conv2(first), 0.2)[:, :, 1:-1, 1:-1]
    # A convolution of gain √(2 / 1.04) before a LeakyReLU keeps the second moment; L = 8 blocks take √8 off it.
    assert first.square().mean().item() == pytest.approx(8**-0.5, rel=0.02)
    assert second.square().mean().item() == pytest.approx(8**-1, rel=0.1)


def test_images_start_with_the_variance_of_the_basis():
    torch.manual_seed(0)
    generator = R3GANGenerator(ImageSpec(3, 16), width=512)
    generator.layers = nn.Sequential(*(m for m in generator.layers if type(m).__name__ != "_Upsample"))
    with torch.no_grad():
        assert generator(torch.randn(512, 64)).var().item() == pytest.approx(1, rel=0.1)


def test_resampling_is_the_published_kernel():
    """Rows by hand from [1, 3, 3, 1] / 8 with zeros around the image; both directions commute with mirroring."""
    generator = R3GANGenerator(ImageSpec(1, 16), width=8)
    discriminator = R3GANDiscriminator(ImageSpec(1, 16), width=8)
    up = next(m for m in generator.modules() if type(m).__name__ == "_Upsample")
    down = next(m for m in discriminator.modules() if type(m).__name__ == "_Downsample")
    short, long = torch.arange(1.0, 5).expand(1, 2, 4, 4), torch.arange(1.0, 9).expand(1, 2, 8, 8)
    assert up(short).shape == (1, 2, 8, 8)
    assert up(short)[0, 1, 3].tolist() == pytest.approx([0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 3])
    assert up(short.mT)[0, 1, :, 3].tolist() == pytest.approx([0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 3])
    assert down(long).shape == (1, 2, 4, 4)
    assert down(long)[0, 1, 1].tolist() == pytest.approx([1.5, 3.5, 5.5, 6.375])
    assert torch.allclose(up(short.flip(-1)), up(short).flip(-1))
    assert torch.allclose(down(long.flip(-1)), down(long).flip(-1))


def test_label_embeddings_start_as_published():
    """The official code draws them by the number of labels: std 1/√10 in G, 1/√(10 · 768) in D."""
    torch.manual_seed(0)
    image = ImageSpec(3, 32, num_classes=10)
    generator = R3GANGenerator(image, latent_dim=2000, width=64, conditional=True)
    discriminator = R3GANDiscriminator(image, width=768, blocks=1, conditional=True)
    assert generator.input.embedding.weight.std().item() == pytest.approx(0.316, rel=0.02)
    assert discriminator.embedding.weight.std().item() == pytest.approx(0.0114, rel=0.04)


def test_a_width_that_makes_no_groups_is_refused():
    with pytest.raises(UserError, match="multiple of 8, not 20"):
        R3GANGenerator(ImageSpec(3, 32), width=20)
    with pytest.raises(UserError, match="multiple of 64, not 96"):
        R3GANDiscriminator(ImageSpec(3, 256), width=96)
