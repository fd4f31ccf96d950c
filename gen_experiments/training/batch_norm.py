"""Batch norm by the images of all processes, as if one process had them."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gen_experiments import distributed
from gen_experiments.losses.base import Penalty
from gen_experiments.precision import at_least_float32

# The names in a model of the networks whose gradients penalties differentiate.
DISCRIMINATORS = ("discriminator", "discriminators")


def synchronise(model: LightningModule) -> None:
    """Makes all batch norm of a model normalise by the images of all processes.

    On GPUs by PyTorch's `SyncBatchNorm`, whose kernels are fused, except in a discriminator under a penalty on its
    gradients, because that class cannot be differentiated twice. There, and on CPUs, by `GlobalBatchNorm`.
    """
    fused = model.trainer.strategy.root_device.type == "cuda"
    twice = any(penalty.second_order for penalty in model.modules() if isinstance(penalty, Penalty))
    for name, child in model.named_children():
        if fused and not (twice and name in DISCRIMINATORS):
            setattr(model, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))
            continue
        for part in child.modules():
            if isinstance(part, _BatchNorm):
                part.__class__ = GlobalBatchNorm  # so that everything that refers to the module still does


def normalises_batches(network: nn.Module) -> bool:
    """Returns whether a network has batch norm."""
    return any(isinstance(part, _BatchNorm) for part in network.modules())


class GlobalBatchNorm(_BatchNorm):
    """Batch norm by the mean and variance over the batches of all processes, on any device.

    It can be differentiated any number of times: penalties on gradients (R1, WGAN-GP) then see what one process with
    all images would see. Parameters, buffers and evaluation are those of `nn.BatchNorm2d`. All processes must call it
    equally often, with equally many images.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Takes (N, C, ...), which the class that it replaces has accepted."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps (N, C, ...) -> (N, C, ...); the statistics are float32 under autocast."""
        if not self.training:
            return super().forward(input)
        values = at_least_float32(input)
        axes = [0, *range(2, input.ndim)]
        shape = [1, -1] + [1] * (input.ndim - 2)
        count = values.numel() // values.shape[1] * distributed.world_size()
        mean = _total(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = _total(centred.square().sum(axes)) / count
        self._follow(mean.detach(), variance.detach() * (count / (count - 1)))
        normalised = centred * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics towards those of a batch, as `nn.BatchNorm2d` does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_(variance.to(self.running_var.dtype), rate)


class _Total(torch.autograd.Function):
    """Sums over all processes, in the backward pass too: each process's part is in the losses of all."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        return distributed.all_reduce_sum(part)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _total(gradient)


def _total(part: Tensor) -> Tensor:
    total: Tensor = _Total.apply(part)
    return total
