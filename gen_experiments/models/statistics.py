"""Statistics that show whether generator and discriminator are in balance."""

import torch
from torch import Tensor


def logit_statistics(real: Tensor, fake: Tensor, boundary: float | None) -> dict[str, Tensor]:
    """Returns statistics of a discriminator's logits: means, their gap, and the share of correct judgements.

    Args:
        real: logits of real images, (B,) or (B, n).
        fake: logits of generated images, of the same shape.
        boundary: larger logits mean real; None counts the pairs whose real image has the larger logit.
    """
    right = real > fake if boundary is None else torch.cat([real > boundary, fake < boundary])
    means = {"logit_real": real.mean(), "logit_fake": fake.mean()}
    return {
        **means,
        "logit_gap": means["logit_real"] - means["logit_fake"],
        "sign_accuracy": right.float().mean(),
    }
