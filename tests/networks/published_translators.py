"""Networks of translation, written anew from their publications."""

import torch
from torch import nn
from torch.nn import functional as F


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


def instance(x):
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()


def batch(x, factor, offset):
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt() * factor[:, None, None] + offset[:, None, None]


def mirrored(x, by):
    return F.pad(x, (by,) * 4, mode="reflect")


def resized(x, weight, bias=None):
    """Odena et al.: each pixel four times, then a convolution."""
    larger = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return F.conv2d(mirrored(larger, 1), weight, bias)


def unet_block(x, down, up, depth, batch_norm, resize):
    """UnetSkipConnectionBlock: what it returns beside what it got, but for the outermost."""
    outermost, innermost = depth == 0, depth == len(down) - 1
    h = x if outermost else F.leaky_relu(x, 0.2)
    weights = down[depth]
    h = F.conv2d(h, weights["conv"], weights.get("bias"), stride=2, padding=1)
    if not outermost and not innermost:
        h = batch(h, *weights["norm"]) if batch_norm else instance(h)
    if not innermost:
        h = unet_block(h, down, up, depth + 1, batch_norm, resize)
    weights = up[depth]
    if resize:
        h = resized(h.relu(), weights["conv"], weights.get("bias"))
    else:
        h = F.conv_transpose2d(h.relu(), weights["conv"], weights.get("bias"), stride=2, padding=1)
    if outermost:
        return h.tanh()
    h = batch(h, *weights["norm"]) if batch_norm else instance(h)
    return torch.cat([x, h], 1)


def layers(modules):
    """The weights of each layer, by what they are."""
    found = []
    for module in modules:
        held = {}
        for part in module:
            if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
                held |= {"conv": part.weight} | ({} if part.bias is None else {"bias": part.bias})
            elif isinstance(part, nn.BatchNorm2d):
                held["norm"] = part.weight, part.bias
        found.append(held)
    return found


def resnet(x, weights, residual_blocks, resize):
    """ResnetGenerator of the same code, with instance norm and therefore with biases."""
    h = instance(F.conv2d(mirrored(x, 3), next(weights), next(weights))).relu()
    for _ in range(2):
        h = instance(F.conv2d(h, next(weights), next(weights), stride=2, padding=1)).relu()
    for _ in range(residual_blocks):
        inner = instance(F.conv2d(mirrored(h, 1), next(weights), next(weights))).relu()
        h = h + instance(F.conv2d(mirrored(inner, 1), next(weights), next(weights)))
    for _ in range(2):
        if resize:
            doubled = resized(h, next(weights), next(weights))
        else:
            doubled = F.conv_transpose2d(h, next(weights), next(weights), stride=2, padding=1, output_padding=1)
        h = instance(doubled).relu()
    return F.conv2d(mirrored(h, 3), next(weights), next(weights)).tanh()


def drunet(x, weights, residual_blocks):
    """UNetRes of DPIR's code: blocks of mode CRC, strideconv down, convtranspose up, no bias anywhere."""

    def blocks(h):
        for _ in range(residual_blocks):
            h = h + F.conv2d(F.conv2d(h, next(weights), padding=1).relu(), next(weights), padding=1)
        return h

    x1 = F.conv2d(x, next(weights), padding=1)
    x2 = F.conv2d(blocks(x1), next(weights), stride=2)
    x3 = F.conv2d(blocks(x2), next(weights), stride=2)
    x4 = F.conv2d(blocks(x3), next(weights), stride=2)
    h = blocks(x4)
    for beside in (x4, x3, x2):
        h = blocks(F.conv_transpose2d(h + beside, next(weights), stride=2))
    return F.conv2d(h + x1, next(weights), padding=1)
