import copy
import pickle

import pytest
import torch
from torch import nn

from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.networks.autoencoder import ConvDecoder, ConvEncoder, PlainDecoder, PlainEncoder
from gen_experiments.networks.blocks import ResidualStack


def _size(module):
    return sum(parameter.numel() for parameter in module.parameters())


# Weights plus biases, layer by layer: 4×4 3→64, 4×4 64→128, 3×3 128→128, two blocks of 3×3 128→32 and 1×1 32→128.
STACK = 2 * ((9 * 128 * 32 + 32) + (32 * 128 + 128))
ENCODER = (16 * 3 * 64 + 64) + (16 * 64 * 128 + 128) + (9 * 128 * 128 + 128) + STACK + (128 * 64 + 64)
DECODER = (9 * 64 * 128 + 128) + STACK + (16 * 128 * 64 + 64) + (16 * 64 * 3 + 3)


def test_the_pair_is_as_large_as_sonnets():
    image = ImageSpec(3, 32)
    assert _size(ConvEncoder(image, 64)) == ENCODER
    assert _size(ConvDecoder(image, 64)) == DECODER


@pytest.mark.parametrize("size", [28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_codes_are_a_quarter_of_the_image(size, channels):
    image = ImageSpec(channels, size)
    latents = ConvEncoder(image, 16)(torch.zeros(2, *image.shape))
    assert latents.shape == (2, 16, size // 4, size // 4)
    assert ConvDecoder(image, 16)(latents).shape == (2, *image.shape)


@pytest.mark.parametrize("downsamplings", [1, 2, 3, 4])
def test_the_resolution_is_halved_as_often_as_asked(downsamplings):
    image = ImageSpec(3, 32)
    options = {"hidden": 8, "residual_hidden": 4, "residual_blocks": 1, "downsamplings": downsamplings}
    latents = ConvEncoder(image, 5, **options)(torch.zeros(2, 3, 32, 32))
    assert latents.shape == (2, 5, 32 >> downsamplings, 32 >> downsamplings)
    assert ConvDecoder(image, 5, **options)(latents).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("half", [ConvEncoder, ConvDecoder])
def test_sizes_that_cannot_be_halved_are_refused_with_the_nearest_that_can(half):
    with pytest.raises(UserError, match=r"30 pixels .* 28 or 32"):
        half(ImageSpec(3, 30), 8)
    with pytest.raises(UserError, match="downsamplings must be in"):
        half(ImageSpec(3, 32), 8, downsamplings=0)


def test_weights_start_with_the_deviation_of_their_fan_in():
    torch.manual_seed(0)
    decoder = ConvDecoder(ImageSpec(3, 32), 64)
    for module in decoder.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            fan_in = module.in_channels * module.kernel_size[0] ** 2
            # A normal distribution cut at two deviations keeps 0.8796 of its deviation.
            assert module.weight.std().item() == pytest.approx(0.8796 * fan_in**-0.5, rel=0.05)
            assert module.weight.abs().max().item() <= 2 * fan_in**-0.5
            assert not module.bias.any()


def test_a_stack_whose_blocks_are_zero_is_a_relu():
    stack = ResidualStack(4, 2, 3)
    for parameter in stack.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(stack(x), x.relu())


def test_the_plain_decoder_says_which_grid_it_takes():
    with pytest.raises(UserError, match=r"takes a grid of 4x4 latents, not of 3x4: set decoder\.grid"):
        PlainDecoder(ImageSpec(1, 8), 6)(torch.zeros(1, 6, 3, 4))


@pytest.mark.parametrize(("size", "grid"), [(8, 4), (28, 4), (30, 7)])
def test_the_plain_pair_takes_any_size(size, grid):
    image = ImageSpec(1, size)
    encoder, decoder = PlainEncoder(image, 6, grid=grid), PlainDecoder(image, 6, grid=grid)
    latents = encoder(torch.randn(3, 1, size, size))
    assert latents.shape == (3, 6, grid, grid)
    images = decoder(latents)
    assert images.shape == (3, 1, size, size)
    assert images.abs().max() < 1
    pixels, values = size**2, 6 * grid**2
    assert _size(encoder) == (pixels * 128 + 128) + (128 * values + values)
    assert _size(decoder) == (values * 128 + 128) + (128 * pixels + pixels)


@pytest.mark.parametrize("network", [ConvEncoder, ConvDecoder, PlainEncoder, PlainDecoder])
def test_networks_can_be_copied_and_pickled(network):
    original = network(ImageSpec(1, 16), 4)
    for twin in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        assert all(torch.equal(a, b) for a, b in zip(original.parameters(), twin.parameters(), strict=True))
