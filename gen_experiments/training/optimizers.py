"""Functions of optimizers, parameters and gradients."""

from collections.abc import Callable, Iterable

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_experiments import distributed
from gen_experiments.errors import UserError, check_interval

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


def set_beta2(optimizers: Iterable[Optimizer], beta2: float) -> None:
    """Sets beta2 of Adam and similar optimizers.

    Raises:
        UserError: an optimizer has no betas, or the value is outside [0, 1).
    """
    check_interval("[0, 1)", beta2_schedule=beta2)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if "betas" not in group:
                raise UserError(
                    f"{type(optimizer).__name__} has no betas for model.beta2_schedule: use one such as Adam"
                )
            group["betas"] = group["betas"][0], beta2


def raise_eps(optimizers: Iterable[Optimizer]) -> None:
    """Sets an `eps` that float16 rounds to 0 to 1e-4, where weights are float16 (`trainer.precision=16-true`).

    Adam divides by √v + eps, and v of gradients below 2e-4 is 0 in float16. A warning names the optimizer.
    """
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            half = any(weight.dtype == torch.float16 for weight in group["params"])
            if half and 0 <= group.get("eps", 1.0) < torch.finfo(torch.float16).tiny:
                distributed.warn_once(
                    f"eps={group['eps']:g} of {type(optimizer).__name__} is 0 in float16: 1e-4 is used; "
                    "bf16-true needs no such change"
                )
                group["eps"] = 1e-4


def trainable_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Returns the parameters with `requires_grad`: frozen ones belong in no optimizer."""
    return [weight for weight in network.parameters() if weight.requires_grad]


def norm(tensors: Iterable[Tensor | None]) -> Tensor:
    """Returns the Euclidean norm of all tensors together; None is skipped."""
    return nn.utils.get_total_norm([tensor.detach() for tensor in tensors if tensor is not None])


def clip(network: nn.Module, largest: float | None, trainer: Trainer) -> Tensor:
    """Clips the norm of a network's gradient to `largest`, unless that is None; returns the norm before.

    In 16-bit precision, where gradients are scaled until the optimizer steps, it is the norm of the unscaled gradient.
    """
    scaler: torch.amp.GradScaler | None = getattr(trainer.precision_plugin, "scaler", None)
    gradient = norm(weight.grad for weight in network.parameters())
    if scaler is not None:
        gradient = gradient / scaler.get_scale()
    if largest is not None:
        nn.utils.clip_grads_with_norm_(network.parameters(), largest, gradient)
    return gradient
