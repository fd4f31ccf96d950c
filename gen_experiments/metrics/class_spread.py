"""How much the images of a class differ from each other."""

import torch
from torch import Tensor
from torchmetrics import Metric


def class_spread(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Maps (N, D) features and (N,) labels -> (K,) float64 traces of the classes' covariances; NaN below two images."""
    sums = ClassSpread(classes, features.shape[1]).to(features.device)
    sums.update(features, labels)
    return sums.spread()


class ClassSpread(Metric):
    """The sums for `class_spread`, in float64 and over all processes, updated batch by batch.

    Args:
        classes: K.
        dim: D, the length of a feature vector.
    """

    full_state_update = False
    counts: Tensor
    totals: Tensor
    squares: Tensor

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(classes, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("totals", torch.zeros(classes, dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", torch.zeros(classes, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Adds (N, D) features with (N,) int64 labels."""
        rows, labels = features.double(), labels.to(features.device)
        self.counts.index_add_(0, labels, torch.ones_like(rows[:, 0]))
        self.totals.index_add_(0, labels, rows)
        self.squares.index_add_(0, labels, rows.square().sum(1))

    def compute(self) -> tuple[Tensor, Tensor]:
        """Returns the counts (K,) and the traces (K,), the same on every process."""
        return self.counts.clone(), self.spread()

    def spread(self) -> Tensor:
        """Returns the traces (K,) of what this process has added."""
        traces = (self.squares - self.totals.square().sum(1) / self.counts) / (self.counts - 1)
        return torch.where(self.counts > 1, traces.clamp_min(0), torch.nan)
