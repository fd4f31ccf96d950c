"""MUNIT's autoencoder against its public PyTorch code (NVlabs/MUNIT, networks.py), restated layer by layer.

There AdaIN is `F.batch_norm` over (1, B · C, h, w) with the style's numbers as its bias (the first half of a norm's)
and weight (the second); instance norm is that of training, by an image's own statistics; layer norm adds ε to the
deviation.
"""

import pytest
import torch
from torch.nn import functional as F

from formula_weights import CLOSE, prepared, waves
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.networks.munit import AdaIN, MUNITAutoencoder

COLOUR = ImageSpec(channels=3, size=32)


def conv(x, weights, stride=1):
    weight, bias = next(weights), next(weights)
    by = (weight.shape[-1] - 1) // 2
    return F.conv2d(F.pad(x, (by,) * 4, mode="reflect"), weight, bias, stride=stride)


def instance(x):
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()


def adaptive(x, given):
    """AdaptiveInstanceNorm2d: the images' channels side by side as those of one, in batch norm."""
    bias, weight = (part.reshape(-1) for part in given)
    flat = x.reshape(1, -1, *x.shape[2:])
    return F.batch_norm(flat, None, None, weight, bias, training=True, eps=1e-5).reshape(x.shape)


def layer(x, gamma, beta):
    rows = x.reshape(len(x), -1)
    shape = (-1, 1, 1, 1)
    x = (x - rows.mean(1).view(shape)) / (rows.std(1).view(shape) + 1e-5)
    return x * gamma.view(1, -1, 1, 1) + beta.view(1, -1, 1, 1)


def content(x, weights, halvings, residual_blocks):
    """ContentEncoder."""
    h = instance(conv(x, weights)).relu()
    for _ in range(halvings):
        h = instance(conv(h, weights, stride=2)).relu()
    for _ in range(residual_blocks):
        h = h + instance(conv(instance(conv(h, weights)).relu(), weights))
    return h


def style(x, weights, halvings):
    """StyleEncoder."""
    h = conv(x, weights).relu()
    for _ in range(halvings):
        h = conv(h, weights, stride=2).relu()
    return F.conv2d(h.mean((2, 3), keepdim=True), next(weights), next(weights)).reshape(len(x), -1)


def decoded(h, code, weights, halvings, residual_blocks):
    """MLP, assign_adain_params and Decoder."""
    for number in range(3):
        code = F.linear(code, next(weights), next(weights))
        code = code if number == 2 else code.relu()
    channels, given = h.shape[1], []
    while code.shape[1]:
        given.append((code[:, :channels], code[:, channels : 2 * channels]))
        code = code[:, 2 * channels :]
    assert len(given) == 2 * residual_blocks
    for number in range(residual_blocks):
        inner = adaptive(conv(h, weights), given[2 * number]).relu()
        h = h + adaptive(conv(inner, weights), given[2 * number + 1])
    for _ in range(halvings):
        h = conv(h.repeat_interleave(2, 2).repeat_interleave(2, 3), weights)
        h = layer(h, next(weights), next(weights)).relu()
    return conv(h, weights).tanh()


@pytest.mark.parametrize(("halvings", "style_halvings"), [(2, 4), (1, 3)])
def test_munits_autoencoder(halvings, style_halvings):
    options = {"width": 4, "residual_blocks": 2, "style_dim": 5, "mlp_width": 6}
    network, weights = prepared(MUNITAutoencoder(COLOUR, halvings=halvings, style_halvings=style_halvings, **options))
    x, other = waves(2, 3, 32, 32), waves(2, 5, start=2.0)
    contents = content(x, weights, halvings, 2)
    torch.testing.assert_close(network.content(x), contents, **CLOSE)
    torch.testing.assert_close(network.style(x), style(x, weights, style_halvings), **CLOSE)
    torch.testing.assert_close(network.decode(contents, other), decoded(contents, other, weights, halvings, 2), **CLOSE)
    assert next(weights, None) is None


def test_adain_gives_each_channel_its_mean_and_deviation():
    """σ(y) · (x − μ(x)) / σ(x) + μ(y) of https://arxiv.org/abs/1703.06868, equation 8, at a deviation far above ε."""
    x, means, deviations = 9 * waves(2, 3, 5, 5), waves(2, 3, start=1.0), waves(2, 3, start=4.0)
    found = AdaIN()(x, means, deviations)
    torch.testing.assert_close(found.mean((2, 3)), means)
    torch.testing.assert_close(found.std((2, 3), correction=0), deviations.abs(), rtol=1e-5, atol=1e-6)


def test_weights_are_drawn_by_the_inputs_of_a_unit_and_biases_are_zero():
    network = MUNITAutoencoder(COLOUR, width=8)
    for layer in network.modules():
        if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
            assert not layer.bias.any()
            assert layer.weight.std().item() == pytest.approx((2 / layer.weight[0].numel()) ** 0.5, rel=0.2)


def test_the_autoencoder_has_its_published_size():
    """At the configuration of edges to shoes, whose convolutions and linear layers are counted by hand."""
    with torch.device("meta"):
        network = MUNITAutoencoder(ImageSpec(3, 256))

    def layers(*shapes):
        return sum(before * after * kernel**2 + after for before, after, kernel in shapes)

    contents = layers((3, 64, 7), (64, 128, 4), (128, 256, 4), *[(256, 256, 3)] * 8)
    styles = layers((3, 64, 7), (64, 128, 4), (128, 256, 4), (256, 256, 4), (256, 256, 4), (256, 8, 1))
    linear = layers((8, 256, 1), (256, 256, 1), (256, 4 * 4 * 256, 1))
    decoder = layers(*[(256, 256, 3)] * 8, (256, 128, 5), (128, 64, 5), (64, 3, 7)) + 2 * (128 + 64)
    assert sum(parameter.numel() for parameter in network.parameters()) == contents + styles + linear + decoder


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: MUNITAutoencoder(ImageSpec(3, 30)), "cannot be halved 2 times"),
        (lambda: MUNITAutoencoder(ImageSpec(3, 8), style_halvings=4), "cannot be mirrored after 2 halvings"),
        (lambda: MUNITAutoencoder(COLOUR, style_halvings=1), "style_halvings must be in"),
        (lambda: MUNITAutoencoder(COLOUR, style_dim=0), "style_dim must be in"),
        (lambda: MUNITAutoencoder(COLOUR, residual_blocks=0), "residual_blocks must be in"),
    ],
)
def test_impossible_autoencoders_are_refused(build, said):
    with pytest.raises(UserError, match=said):
        build()


def test_the_smallest_images_that_are_taken():
    network = MUNITAutoencoder(ImageSpec(1, 16), width=2, residual_blocks=1, mlp_width=2)
    images = torch.zeros(1, 1, 16, 16)
    assert network.decode(network.content(images), network.style(images)).shape == images.shape
