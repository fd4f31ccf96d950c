"""Batch norm over all processes against PyTorch's; `tests/test_devices.py` holds that two processes train as one."""

import pytest
import torch
from torch import nn

from gen_experiments.training.batch_norm import GlobalBatchNorm


def pair(kind, momentum, affine):
    ours, theirs = (kind(3, momentum=momentum, affine=affine, dtype=torch.float64) for _ in range(2))
    ours.__class__ = GlobalBatchNorm
    if affine:
        for norm in (ours, theirs):
            norm.weight.data = torch.tensor([0.5, 1.0, 2.0]).double()
            norm.bias.data = torch.tensor([1.0, 0.0, -1.0]).double()
    return ours, theirs


@pytest.mark.parametrize(
    ("kind", "shape", "momentum", "affine"),
    [(nn.BatchNorm2d, (4, 3, 2, 5), 0.1, True), (nn.BatchNorm2d, (4, 3, 1, 1), None, False)],
)
def test_on_one_process_it_is_that_of_torch(kind, shape, momentum, affine):
    images = torch.sin(torch.arange(4 * 3 * 10.0)[: torch.Size(shape).numel()]).double().view(shape) + 3
    weights = torch.cos(torch.arange(images.numel()).double()).view(shape)
    seen = []
    for norm in pair(kind, momentum, affine):
        shown = images.clone().requires_grad_()
        for factor in (1.0, 2.0):
            made = norm(shown * factor)
        (slope,) = torch.autograd.grad((made.pow(3) * weights).sum(), shown, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.square().sum(), shown)
        evaluated = norm.eval()(images)
        seen.append([made, slope, curvature, evaluated, norm.running_mean, norm.running_var, norm.num_batches_tracked])
    for ours, theirs in zip(*seen, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_under_autocast_the_statistics_are_float32():
    norm = GlobalBatchNorm(1)
    images = torch.tensor([1000.0, 1001.0, 1002.0, 1004.0]).view(4, 1, 1, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = norm(images)
    torch.testing.assert_close(made, nn.BatchNorm2d(1)(images))
    assert norm(images.bfloat16()).dtype == torch.bfloat16
