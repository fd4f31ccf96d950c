"""VQGAN's networks (https://arxiv.org/abs/2012.09841) against implementations of its official code's description."""

import pytest
import torch
from torch.nn import functional as F

from formula_weights import CLOSE, prepared, waves
from gen_experiments.images import ImageSpec
from gen_experiments.networks.deep_autoencoder import DeepDecoder, DeepEncoder
from gen_experiments.networks.patch import PatchDiscriminator

COLOUR = ImageSpec(channels=3, size=8)


def group_norm(x, groups, weights):
    """Each image's groups of channels by their own mean and deviation (https://arxiv.org/abs/1803.08494), ε = 1e-6."""
    parts = x.reshape(len(x), groups, -1)
    normal = (parts - parts.mean(2, keepdim=True)) / (parts.var(2, correction=0, keepdim=True) + 1e-6).sqrt()
    factor, offset = next(weights), next(weights)
    return normal.reshape(x.shape) * factor[:, None, None] + offset[:, None, None]


def swish_conv(x, weights):
    h = group_norm(x, x.shape[1] // 4, weights)
    return F.conv2d(h * h.sigmoid(), next(weights), next(weights), padding=1)


def block(x, channels, weights):
    h = swish_conv(swish_conv(x, weights), weights)
    return h + (x if x.shape[1] == channels else F.conv2d(x, next(weights), next(weights)))


def attention(x, weights):
    """Of one head over all pixels: softmax(q k' / √C) v, q, k and v by 1x1 convolutions, and another behind."""
    h = group_norm(x, x.shape[1] // 4, weights)
    q, k, v = F.conv2d(h, next(weights), next(weights)).flatten(2).tensor_split(3, dim=1)
    shares = (q.transpose(1, 2) @ k / q.shape[1] ** 0.5).softmax(dim=2)
    mixed = torch.stack([share @ value.T for share, value in zip(shares, v, strict=True)]).transpose(1, 2)
    return x + F.conv2d(mixed.reshape(x.shape), next(weights), next(weights))


def middle(h, weights):
    return block(attention(block(h, 8, weights), weights), 8, weights)


@pytest.mark.parametrize("latent_channels", [None, 6])
def test_the_encoder(latent_channels):
    """Halving puts one row and one column of zeros below and on the right alone; attention at 4 pixels.

    With latent_channels, `quant_conv` of taming/models/vqgan.py follows.
    """
    options = {"width": 4, "multipliers": (1, 2), "blocks": 2, "latent_channels": latent_channels}
    network, weights = prepared(DeepEncoder(COLOUR, 5, **options))
    x = waves(2, 3, 8, 8)
    h = F.conv2d(x, next(weights), next(weights), padding=1)
    h = block(block(h, 4, weights), 4, weights)
    h = F.conv2d(F.pad(h, (0, 1, 0, 1)), next(weights), next(weights), stride=2)
    for _ in range(2):
        h = attention(block(h, 8, weights), weights)
    h = swish_conv(middle(h, weights), weights)
    if latent_channels is not None:
        h = F.conv2d(h, next(weights), next(weights))
    torch.testing.assert_close(network(x), h, **CLOSE)


@pytest.mark.parametrize("latent_channels", [None, 6])
def test_the_decoder(latent_channels):
    """One more block at each resolution than the encoder's; doubling by the nearest pixel, then a 3x3.

    With latent_channels, `post_quant_conv` comes first: the zeros around the 3x3 are those behind it.
    """
    options = {"width": 4, "multipliers": (1, 2), "blocks": 1, "latent_channels": latent_channels}
    network, weights = prepared(DeepDecoder(COLOUR, 5, **options))
    z = h = waves(2, 5, 4, 4)
    if latent_channels is not None:
        h = F.conv2d(h, next(weights), next(weights))
    h = middle(F.conv2d(h, next(weights), next(weights), padding=1), weights)
    for _ in range(2):
        h = attention(block(h, 8, weights), weights)
    h = F.conv2d(h.repeat_interleave(2, 2).repeat_interleave(2, 3), next(weights), next(weights), padding=1)
    h = block(block(h, 4, weights), 4, weights)
    torch.testing.assert_close(network(z), swish_conv(h, weights), **CLOSE)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_discriminator_of_patches(layers):
    """pix2pix's NLayerDiscriminator (https://arxiv.org/abs/1611.07004), but each image normalised by itself."""
    image = ImageSpec(channels=3, size=16)
    network, weights = prepared(PatchDiscriminator(image, width=4, layers=layers))
    x = waves(2, 3, 16, 16)
    h = F.conv2d(x, next(weights), next(weights), stride=2, padding=1)
    for stride in [2, 1][2 - layers :]:
        h = torch.where(h > 0, h, 0.2 * h)
        h = F.conv2d(h, next(weights), stride=stride, padding=1)
        h = group_norm(h, h.shape[1] // 4, weights)
    logits = F.conv2d(torch.where(h > 0, h, 0.2 * h), next(weights), next(weights), padding=1)
    torch.testing.assert_close(network(x), logits.flatten(1), **CLOSE)
