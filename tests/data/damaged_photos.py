"""Pictures and seeds for tests of damage."""

import torch

from gen_experiments import randomness

SEEDS = randomness.seeds_of(torch.arange(64), 1, 2)


FLAT = torch.zeros(64, 3, 24, 24)


def photos(count=4, height=24, width=24):
    """Smooth colours with an edge."""
    source = torch.Generator().manual_seed(0)
    small = torch.rand(count, 3, 4, 4, generator=source) * 2 - 1
    images = torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp(-1, 1)
    images[:, :, :, width // 2 :] *= -1
    return images


def ids(part):
    return type(part).__name__
