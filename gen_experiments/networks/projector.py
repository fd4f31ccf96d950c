"""From feature maps to vectors at some places, for contrastive losses."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from gen_experiments.networks import blocks
from gen_experiments.precision import CastsInputs


class PatchProjector(CastsInputs):
    """CUT's two-layer networks (https://arxiv.org/abs/2007.15651), one for each feature map.

    Args:
        channels: of each map.
        width: units of both layers.
    """

    def __init__(self, channels: Sequence[int], width: int = 256) -> None:
        super().__init__()
        blocks.check_widths(width=width)
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(before, width), nn.ReLU(), nn.Linear(width, width)) for before in channels
        )
        self.apply(blocks.normal_init(0.02))

    def forward(self, *maps: Tensor, places: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, channels, h, w) each, at (N,) int64 places of h · w each -> (B, N, width) each, of length one."""
        features = []
        for network, values, at in zip(self.networks, maps, places, strict=True):
            chosen = values.flatten(2)[..., at].transpose(1, 2)
            features.append(normalize(network(chosen), dim=-1, eps=1e-7))
        return features


def draw_places(maps: Sequence[Tensor], count: int, rng: torch.Generator) -> list[Tensor]:
    """Returns, for each of (B, C, h, w) maps, at most `count` different places of its h · w, in a random order."""
    return [
        torch.randperm(values.shape[2] * values.shape[3], generator=rng, device=rng.device)[:count].to(values.device)
        for values in maps
    ]
