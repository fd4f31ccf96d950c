"""What tells how a pair of adversaries is doing."""

import torch
from torch import Tensor


def logit_statistics(real: Tensor, fake: Tensor, boundary: float | None) -> dict[str, Tensor]:
    """Returns statistics of the discriminator's logits (B,): means, their gap, and the share of images judged rightly.

    Args:
        real: logits of real images.
        fake: logits of generated images.
        boundary: what lies above it is judged real; None counts the pairs whose real image has the larger logit.
    """
    right = real > fake if boundary is None else torch.cat([real > boundary, fake < boundary])
    means = {"logit_real": real.mean(), "logit_fake": fake.mean()}
    return {
        **means,
        "logit_gap": means["logit_real"] - means["logit_fake"],
        "sign_accuracy": right.float().mean(),
    }
