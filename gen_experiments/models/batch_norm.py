"""Batch norm of several processes: by the images of all, where that can be done, or by each one's own."""

import warnings

from lightning.pytorch import LightningModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gen_experiments.losses.base import Penalty

# Of a model with adversaries: the networks whose gradients penalties differentiate.
DISCRIMINATORS = ("discriminator", "discriminators")


def synchronise(model: LightningModule) -> None:
    """Makes batch norm count over all processes, which PyTorch does on GPUs alone.

    A discriminator under a penalty on its gradients keeps that of its own images, with a warning on the first process:
    PyTorch's `SyncBatchNorm` cannot be differentiated twice.
    """
    kept = not_differentiable(model)
    for name, child in model.named_children():
        if kept is None or name not in DISCRIMINATORS:
            setattr(model, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))
    if kept is not None and model.trainer.is_global_zero:
        warnings.warn(
            f"{kept} needs gradients of a discriminator's gradients, which synchronised batch norm does not give: each "
            "process normalises by its own images there; model.discriminator.batch_norm=false does without",
            stacklevel=2,
        )


def not_differentiable(model: nn.Module) -> str | None:
    """Returns the penalty that synchronised batch norm of a discriminator would break; None without such."""
    penalties = [type(each).__name__ for each in model.modules() if isinstance(each, Penalty) and each.second_order]
    judges = [network for name, network in model.named_children() if name in DISCRIMINATORS]
    return penalties[0] if penalties and any(map(normalises_batches, judges)) else None


def normalises_batches(network: nn.Module) -> bool:
    """Returns whether a network trains batch norm; where that is frozen, it needs no statistics of a batch."""
    norms = [part for part in network.modules() if isinstance(part, _BatchNorm)]
    return any(norm.weight is None or norm.weight.requires_grad for norm in norms)
