import copy
import pickle

import pytest
import torch
from torch import nn

from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.networks.autoencoder import ConvDecoder, PlainDecoder
from gen_experiments.networks.blocks import group_norm
from gen_experiments.networks.deep_autoencoder import Attention, DeepDecoder, DeepEncoder, ResidualBlock

TINY = {"width": 4, "blocks": 1}


def _size(module):
    return sum(parameter.numel() for parameter in module.parameters())


def _conv(before, after, kernel):
    return before * after * kernel**2 + after


def _block(before, after):
    norms = 2 * before + 2 * after
    return (
        norms + _conv(before, after, 3) + _conv(after, after, 3) + (_conv(before, after, 1) if before != after else 0)
    )


def _attention(channels):
    return 2 * channels + _conv(channels, 3 * channels, 1) + _conv(channels, channels, 1)


def test_the_pair_has_the_weights_of_its_layers():
    image, options = ImageSpec(3, 16), {"width": 4, "multipliers": (1, 2), "blocks": 2, "attention": (8,)}
    middle = 2 * _block(8, 8) + _attention(8)
    encoder = _conv(3, 4, 3) + 2 * _block(4, 4) + _conv(4, 4, 3)
    encoder += _block(4, 8) + _block(8, 8) + 2 * _attention(8) + middle + 2 * 8 + _conv(8, 5, 3)
    decoder = _conv(5, 8, 3) + middle + 3 * (_block(8, 8) + _attention(8)) + _conv(8, 8, 3)
    decoder += _block(8, 4) + 2 * _block(4, 4) + 2 * 4 + _conv(4, 3, 3)
    assert _size(DeepEncoder(image, 5, **options)) == encoder
    assert _size(DeepDecoder(image, 5, **options)) == decoder


@pytest.mark.parametrize(
    ("size", "multipliers", "grid"),
    [(28, (1, 2, 2), 7), (32, (1, 1, 2, 2), 4), (32, (1,), 32), (96, (1, 2, 3), 24), (256, (1, 1, 2, 2, 4), 16)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_multiplier_but_the_first_halves_the_image(size, multipliers, grid, channels):
    image = ImageSpec(channels, size)
    options = {**TINY, "multipliers": multipliers, "attention": (28,) if size == 28 else None}
    latents = DeepEncoder(image, 6, **options)(torch.zeros(1, *image.shape))
    assert latents.shape == (1, 6, grid, grid)
    assert DeepDecoder(image, 6, **options)(latents).shape == (1, *image.shape)


@pytest.mark.parametrize("half", [DeepEncoder, DeepDecoder])
@pytest.mark.parametrize(
    ("attention", "met"), [(None, {8}), ((), set()), ((16,), {16}), ((8, 16), {8, 16}), ((32,), {32})]
)
def test_attention_is_where_it_was_asked_for_and_nowhere_else(half, attention, met):
    network, seen = half(ImageSpec(1, 32), 6, **TINY, attention=attention), []
    for module in network.modules():
        if isinstance(module, Attention):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-1]))
    network(torch.zeros(1, 1, 32, 32) if half is DeepEncoder else torch.zeros(1, 6, 8, 8))
    assert set(seen) == met
    # One after each block of the resolution, of which the decoder has one more, and one in the middle of the network.
    blocks = 1 if half is DeepEncoder else 2
    assert len(seen) == blocks * len(met) + (8 in met)


def test_attention_sees_all_positions_and_their_order_not_at_all():
    torch.manual_seed(0)
    attention, x, order = Attention(8), torch.randn(2, 8, 3, 4), torch.randperm(12)

    def shuffled(values):
        return values.flatten(2)[:, :, order].reshape(values.shape)

    torch.testing.assert_close(attention(shuffled(x)), shuffled(attention(x)))


def test_attention_by_the_formula():
    torch.manual_seed(0)
    attention, x = Attention(8), torch.randn(2, 8, 3, 4)
    query, key, value = attention.inputs(attention.norm(x)).flatten(2).chunk(3, dim=1)
    weights = torch.einsum("bci,bcj->bij", query, key).div(8**0.5).softmax(dim=2)
    mixed = torch.einsum("bij,bcj->bci", weights, value).reshape(x.shape)
    torch.testing.assert_close(attention(x), x + attention.output(mixed))


def test_a_block_whose_last_convolution_is_zero_is_its_shortcut():
    x = torch.randn(2, 4, 5, 5)
    same, wider = ResidualBlock(4, 4), ResidualBlock(4, 6)
    for block in (same, wider):
        nn.init.zeros_(block.layers[-1].weight)
        nn.init.zeros_(block.layers[-1].bias)
    assert torch.equal(same(x), x)
    assert torch.equal(wider(x), wider.shortcut(x))


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(1, 1), (4, 1), (7, 1), (12, 3), (18, 3), (48, 12), (64, 16), (100, 25), (128, 32), (512, 32)],
)
def test_groups_suit_the_channels(channels, groups):
    norm = group_norm(channels)
    assert norm.num_groups == groups
    assert norm(torch.zeros(2, channels, 2, 2)).shape == (2, channels, 2, 2)


def test_an_image_is_coded_the_same_in_any_company():
    torch.manual_seed(0)
    encoder, images = DeepEncoder(ImageSpec(3, 16), 4, **TINY), torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(encoder(images)[1:2], encoder(images[1:2]))


@pytest.mark.parametrize("half", [DeepEncoder, DeepDecoder])
def test_what_cannot_be_built_is_refused(half):
    with pytest.raises(UserError, match=r"28 pixels cannot be halved 3 times.* 24 or 32"):
        half(ImageSpec(1, 28), 4, multipliers=(1, 1, 2, 2))
    with pytest.raises(UserError, match=r"no resolution of 14 pixels .* \[32, 16, 8\]"):
        half(ImageSpec(1, 32), 4, attention=(14,))
    with pytest.raises(UserError, match="multiplier >= 1"):
        half(ImageSpec(1, 32), 4, multipliers=())
    with pytest.raises(UserError, match="blocks must be in"):
        half(ImageSpec(1, 32), 4, blocks=0)


@pytest.mark.parametrize("kind", [ConvDecoder, PlainDecoder, DeepDecoder])
def test_the_last_weight_is_that_of_the_layer_that_makes_the_image(kind):
    torch.manual_seed(0)
    decoder = kind(ImageSpec(3, 16), 5)
    assert any(decoder.last_weight is parameter for parameter in decoder.parameters())
    before = decoder(torch.randn(2, 5, 4, 4))
    with torch.no_grad():
        decoder.last_weight.zero_()
    assert before.std() > 0
    # Without it, nothing is left of the latents but the last layer's bias.
    assert torch.equal(decoder(torch.randn(2, 5, 4, 4)), decoder(torch.randn(2, 5, 4, 4)))


@pytest.mark.parametrize("half", [DeepEncoder, DeepDecoder])
def test_deep_networks_can_be_copied_and_pickled(half):
    original = half(ImageSpec(1, 16), 4, **TINY)
    for twin in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        assert all(torch.equal(a, b) for a, b in zip(original.parameters(), twin.parameters(), strict=True))
