"""What callbacks and commands expect of a model, beyond its being a LightningModule."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Samples(Protocol):
    """A model that makes images."""

    def sample(self, first: int, count: int, seed: int = 0) -> Tensor:
        """Images `first` ... `first + count - 1` of the sequence that `seed` names: (count, C, H, W) in [-1, 1]."""


@runtime_checkable
class Reconstructs(Protocol):
    """A model that remakes images, and whose evaluation steps return `{"reconstructions": ...}`."""

    def reconstruct(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> the same shape."""
