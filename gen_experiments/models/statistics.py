"""What tells how a pair of adversaries is doing."""

from collections.abc import Iterable

import torch
from torch import Tensor


def logit_statistics(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Of the discriminator's logits (B,): means, their gap, and the share of images it puts on the right side of 0."""
    right = torch.cat([real > 0, fake < 0]).float().mean()
    means = {"logit_real": real.mean(), "logit_fake": fake.mean()}
    return {**means, "logit_gap": means["logit_real"] - means["logit_fake"], "sign_accuracy": right}


def norm(tensors: Iterable[Tensor | None]) -> Tensor:
    """The Euclidean norm of all tensors together; None counts for nothing."""
    return torch.nn.utils.get_total_norm([tensor.detach() for tensor in tensors if tensor is not None])
