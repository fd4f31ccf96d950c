"""Weights and inputs by a formula, for comparing a network with an independent implementation in double precision."""

import torch
from torch import nn

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def waves(*shape, start=0.0):
    """Numbers in [-1, 1] that follow no grid: sin(0.7 n + start)."""
    count = torch.Size(shape).numel()
    return torch.sin(0.7 * torch.arange(count, dtype=torch.float64) + start).reshape(shape)


def prepared(network):
    """A network in double precision whose n-th parameter is a wave of the scale of its fan-in, and these parameters."""
    network.double()
    with torch.no_grad():
        for number, weight in enumerate(network.parameters()):
            scale = 1.2 * weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.3
            weight.copy_(scale * waves(*weight.shape, start=float(number)) + (weight.ndim == 1) * 0.5)
    return network, iter([weight.detach() for weight in network.parameters()])


def settled(network):
    """Gives spectral norm the singular vectors that its power iterations look for."""
    for module in network.modules():
        if nn.utils.parametrize.is_parametrized(module, "weight"):
            held = module.parametrizations.weight
            left, _, right = torch.linalg.svd(held.original.detach().flatten(1), full_matrices=False)
            held[0]._u.copy_(left[:, 0])
            held[0]._v.copy_(right[0])


def of_norm_one(weight):
    """A weight divided by its largest singular value."""
    return weight / torch.linalg.matrix_norm(weight.flatten(1), ord=2)
