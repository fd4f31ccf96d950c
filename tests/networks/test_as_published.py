"""Networks against independent implementations of what they name, in double precision, with weights by a formula.

Each function below follows the text or the official code of its source, layer by layer, with torch's functions of
tensors alone; `weights` are a network's parameters in their order.
"""

import pytest
import torch
from torch.nn import functional as F

from formula_weights import CLOSE, prepared, waves
from gen_experiments.images import ImageSpec
from gen_experiments.networks.autoencoder import ConvDecoder, ConvEncoder
from gen_experiments.networks.discriminators import DCGANDiscriminator
from gen_experiments.networks.generators import DCGANGenerator
from gen_experiments.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from gen_experiments.networks.resnet import ResNetDiscriminator, ResNetGenerator

COLOUR = ImageSpec(channels=3, size=16)
LABELLED = ImageSpec(channels=3, size=16, num_classes=5)


def normalised(x):
    """By the statistics of the batch (https://arxiv.org/abs/1502.03167, algorithm 1)."""
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()


def batch_norm(x, weights):
    factor, offset = (next(weights)[None, :, None, None] for _ in range(2))
    return normalised(x) * factor + offset


def halved(x):
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def doubled(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def sonnet_stack(h, weights, blocks):
    for _ in range(blocks):
        inner = F.conv2d(h.relu(), next(weights), next(weights), padding=1)
        h = h + F.conv2d(inner.relu(), next(weights), next(weights))
    return h.relu()


def sonnet_encoder(x, weights):
    """sonnet's vqvae_example.ipynb: three convolutions, each under a ReLU, the stack, and 1x1 before the codebook."""
    h = F.conv2d(x, next(weights), next(weights), stride=2, padding=1).relu()
    h = F.conv2d(h, next(weights), next(weights), stride=2, padding=1).relu()
    h = F.conv2d(h, next(weights), next(weights), padding=1).relu()
    return F.conv2d(sonnet_stack(h, weights, 2), next(weights), next(weights))


def sonnet_decoder(z, weights):
    h = sonnet_stack(F.conv2d(z, next(weights), next(weights), padding=1), weights, 2)
    h = F.conv_transpose2d(h, next(weights), next(weights), stride=2, padding=1).relu()
    return F.conv_transpose2d(h, next(weights), next(weights), stride=2, padding=1)


def test_the_vqvaes_encoder_is_sonnets():
    network, weights = prepared(ConvEncoder(COLOUR, 5, hidden=6, residual_hidden=3))
    x = waves(2, 3, 16, 16)
    torch.testing.assert_close(network(x), sonnet_encoder(x, weights), **CLOSE)


def test_the_vqvaes_decoder_is_sonnets():
    network, weights = prepared(ConvDecoder(COLOUR, 5, hidden=6, residual_hidden=3))
    z = waves(2, 5, 4, 4)
    torch.testing.assert_close(network(z), sonnet_decoder(z, weights), **CLOSE)


def test_dcgans_generator():
    """https://arxiv.org/abs/1511.06434, figure 1 and guidelines: transposed convolutions, batch norm, ReLU, tanh."""
    network, weights = prepared(DCGANGenerator(COLOUR, latent_dim=7, width=4))
    noise = waves(3, 7)
    h = batch_norm(F.conv_transpose2d(noise[:, :, None, None], next(weights)), weights).relu()
    h = batch_norm(F.conv_transpose2d(h, next(weights), stride=2, padding=1), weights).relu()
    h = F.conv_transpose2d(h, next(weights), next(weights), stride=2, padding=1)
    torch.testing.assert_close(network(noise), h.tanh(), **CLOSE)


def test_dcgans_discriminator():
    """Strided convolutions, LeakyReLU of slope 0.2, batch norm in all but the first, a linear map."""
    network, weights = prepared(DCGANDiscriminator(COLOUR, width=4))
    x = waves(3, 3, 16, 16)
    h = F.conv2d(x, next(weights), next(weights), stride=2, padding=1)
    h = torch.maximum(h, 0.2 * h)
    h = batch_norm(F.conv2d(h, next(weights), stride=2, padding=1), weights)
    h = torch.maximum(h, 0.2 * h)
    logits = h.flatten(1) @ next(weights).T + next(weights)
    torch.testing.assert_close(network(x), logits[:, 0], **CLOSE)


def of_labels(x, labels, weights):
    """Batch norm whose factors and offsets are those of an image's label, or of all images if there are no labels."""
    if labels is None:
        return batch_norm(x, weights)
    factors, offsets = next(weights)[labels][:, :, None, None].tensor_split(2, dim=1)
    return normalised(x) * factors + offsets


def sngan_up(x, labels, weights):
    first = of_labels(x, labels, weights).relu()
    h = F.conv2d(doubled(first), next(weights), next(weights), padding=1)
    h = F.conv2d(of_labels(h, labels, weights).relu(), next(weights), next(weights), padding=1)
    return h + F.conv2d(doubled(x), next(weights), next(weights))


@pytest.mark.parametrize("labels", [None, torch.tensor([4, 0, 2])])
def test_sngans_generator(labels):
    """Its official code's gen_models/resnet_32.py and resblocks.py, which double before the 3x3 and the 1x1.

    With labels, that of cGANs with projection (https://arxiv.org/abs/1802.05637): conditional batch norm in the blocks.
    """
    conditional = labels is not None
    network, weights = prepared(ResNetGenerator(LABELLED, latent_dim=7, width=4, conditional=conditional))
    noise = waves(3, 7)
    h = (noise @ next(weights).T + next(weights)).reshape(3, 4, 4, 4)
    for _ in range(2):
        h = sngan_up(h, labels, weights)
    h = F.conv2d(batch_norm(h, weights).relu(), next(weights), next(weights), padding=1)
    torch.testing.assert_close(network(noise, labels), h.tanh(), **CLOSE)


def sngan_down(x, weights, first=False, halve=True):
    conv1, conv2 = [next(weights) for _ in range(2)], [next(weights) for _ in range(2)]
    h = F.conv2d(x if first else x.relu(), *conv1, padding=1)
    h = F.conv2d(h.relu(), *conv2, padding=1)
    return halved(h) + halved(F.conv2d(x, next(weights), next(weights))) if halve else h + x


@pytest.mark.parametrize("labels", [None, torch.tensor([4, 0, 2])])
def test_sngans_discriminator(labels):
    """dis_models/snresnet_32.py and dis_models/resblocks.py: the first block optimised, ReLU, a sum over pixels.

    With labels the projection, equation 3 of https://arxiv.org/abs/1802.05637: y'Vφ + ψ(φ).
    """
    network, weights = prepared(
        ResNetDiscriminator(LABELLED, width=4, spectral_norm=False, conditional=labels is not None)
    )
    x = waves(3, 3, 16, 16)
    h = sngan_down(x, weights, first=True)
    h = sngan_down(sngan_down(h, weights, halve=False), weights, halve=False)
    features = h.relu().sum((2, 3))
    logits = (features @ next(weights).T + next(weights))[:, 0]
    if labels is not None:
        logits = logits + torch.stack([f @ e for f, e in zip(features, next(weights)[labels], strict=True)])
    torch.testing.assert_close(network(x, labels), logits, **CLOSE)


def r3gan_block(x, weights):
    """W₃ φ(W₂ φ(W₁ x + b₁) + b₂) beside x, with LeakyReLU of slope 0.2 and 16 channels in a group."""
    weight, bias = next(weights), next(weights)
    h = F.leaky_relu(F.conv2d(x, weight, bias), 0.2)
    weight, bias = next(weights), next(weights)
    h = F.leaky_relu(F.conv2d(h, weight, bias, padding=1, groups=len(weight) // 16), 0.2)
    return x + F.conv2d(h, next(weights))


def blurred(x):
    """[1, 3, 3, 1] / 8 along both axes, zeros around."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 8
    for axis in (2, 3):
        shape = [1, 1, 4, 1] if axis == 2 else [1, 1, 1, 4]
        padding = (2, 0) if axis == 2 else (0, 2)
        x = torch.cat([F.conv2d(x[:, i : i + 1], line.reshape(shape), padding=padding) for i in range(x.shape[1])], 1)
    return x


def test_r3gans_generator():
    """Its appendix and official code: a learned basis, blocks, resampling by [1, 3, 3, 1], a 1x1 to pixels."""
    network, weights = prepared(R3GANGenerator(COLOUR, latent_dim=7, width=32, blocks=1))
    noise = waves(3, 7)
    h = next(weights) * (noise @ next(weights).T)[:, :, None, None]
    h = r3gan_block(h, weights)
    for _ in range(2):
        spread = h.new_zeros(3, 32, 2 * h.shape[2], 2 * h.shape[3])
        spread[:, :, ::2, ::2] = 4 * h
        # Zeros between the pixels; the filter of four taps is centred between them.
        h = r3gan_block(blurred(spread)[:, :, :-1, :-1], weights)
    torch.testing.assert_close(network(noise), F.conv2d(h, next(weights)), **CLOSE)


@pytest.mark.parametrize("conditional", [False, True])
def test_r3gans_discriminator(conditional):
    """The mirror; with labels the logit is the dot product of features and the label's embedding."""
    network, weights = prepared(R3GANDiscriminator(LABELLED, width=32, blocks=1, conditional=conditional))
    x, labels = waves(3, 3, 16, 16), torch.tensor([4, 0, 2])
    h = r3gan_block(F.conv2d(x, next(weights)), weights)
    for _ in range(2):
        h = r3gan_block(blurred(h)[:, :, 1::2, 1::2], weights)
    features = (h * next(weights)[:, 0]).sum((2, 3)) @ next(weights).T
    expected = (features * next(weights)[labels]).sum(1) if conditional else features[:, 0]
    torch.testing.assert_close(network(x, labels if conditional else None), expected, **CLOSE)
