"""The contract of priors: densities over the codes of an image."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gen_experiments.errors import UserError, check_interval
from gen_experiments.priors.decoding import Decoding, guide_logits
from gen_experiments.pure_functions import PureFunction
from gen_experiments.randomness import rand_rows


@dataclass(frozen=True)
class CodeSpec:
    """The codes of an image as one sequence: level by level, row by row.

    Attributes:
        grids: (height, width) of each level, the coarsest first: one for a plain quantizer, equal ones for a residual
            quantizer.
        codebook_size: number of codes of a level, K.
        num_classes: number of labels, or None for data without labels.
        given: the number of first codes that are always known: the density is that of the other codes, given these.
    """

    grids: tuple[tuple[int, int], ...]
    codebook_size: int
    num_classes: int | None = None
    given: int = 0

    @property
    def length(self) -> int:
        """L, the number of codes of an image."""
        return sum(height * width for height, width in self.grids)

    @property
    def drawn(self) -> int:
        """The number of codes that are not given."""
        return self.length - self.given


class Draws:
    """Random numbers for samples, each from its own generator: a sample does not depend on the others.

    Args:
        rngs: one generator on the CPU for each sample.
    """

    def __init__(self, rngs: Sequence[torch.Generator]) -> None:
        self._rngs = rngs

    def __len__(self) -> int:
        """Returns the number of samples, B."""
        return len(self._rngs)

    def uniforms(self, *shape: int, device: torch.device) -> Tensor:
        """Returns the next (B, *shape) float32 in [0, 1)."""
        return torch.stack([torch.rand(shape, generator=rng, dtype=torch.float32) for rng in self._rngs]).to(device)


class Prior(nn.Module, ABC):
    """A density p(codes | label) that is learnt; built as `prior(codes: CodeSpec)`.

    Codes are (B, L) int64 in [0, K). Labels are (B,) int64 in [0, num_classes); None leaves the class open, which a
    prior of classes learns from training images whose label is dropped. A prior without classes ignores labels. Codes
    that a `CodeSpec` declares as given must be known for every sample.

    Args:
        codes: the shape of the codes.
        class_drop: share of the training images whose label is dropped; in [0, 1].
        decoding: how codes are drawn.

    Attributes:
        exact: whether `nll` is exact, not an upper bound.

    Raises:
        UserError: a number out of range.
    """

    exact: ClassVar[bool]

    def __init__(self, codes: CodeSpec, class_drop: float, decoding: Decoding) -> None:
        super().__init__()
        check_interval("[0, 1]", class_drop=class_drop)
        self.codes, self.class_drop = codes, class_drop
        self.decode_by(decoding)
        self.no_class = codes.num_classes or 0

    def decode_by(self, decoding: Decoding) -> None:
        """Sets how codes are drawn.

        Raises:
            UserError: it guides, and the prior has not learnt what images of no class are like.
        """
        if decoding.guidance > 0 and self.class_drop == 0:
            raise UserError("guidance compares with samples of no class: train with class_drop > 0")
        self.decoding = decoding

    @abstractmethod
    def loss(self, codes: Tensor, labels: Tensor | None, rng: torch.Generator, images_seen: int) -> Tensor:
        """Returns the training loss of a batch.

        Its average over N processes of B/N images is that of one process of B images.

        Args:
            codes: (B, L).
            labels: (B,) or None.
            rng: in the same state on every process.
            images_seen: training images before this batch.

        Returns:
            A scalar in nats per code.
        """

    @abstractmethod
    def nll(self, codes: Tensor, labels: Tensor | None, seeds: Tensor) -> Tensor:
        """Returns −log p(codes | label), or an unbiased estimate of an upper bound, without dropout.

        An image's estimate depends on its own seed, not on its neighbours in the batch.

        Args:
            codes: (B, L).
            labels: (B,) or None.
            seeds: (B,) int64, of the random numbers of an estimate (`randomness.uniform_of`).

        Returns:
            (B,) nats of the whole sequence.
        """

    @abstractmethod
    def sample(
        self, labels: Tensor | None, draws: Draws, codes: Tensor | None = None, unknown: Tensor | None = None
    ) -> Tensor:
        """Draws the unknown codes and keeps the others.

        Args:
            labels: (B,) or None.
            draws: the random numbers of B samples.
            codes: (B, L), the known codes, and any values in [0, K) for unknown ones; None if all are unknown.
            unknown: (B, L) bool, which codes are unknown; None if all are.

        Returns:
            (B, L).
        """

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns the functions that other programs can compute; by default none."""
        return {}

    def conditions(self, labels: Tensor | None, like: Tensor) -> Tensor:
        """Returns (B,) conditions in [0, num_classes], one for each row of `like`; num_classes stands for no class."""
        if labels is None or self.codes.num_classes is None:
            return torch.full(like.shape[:1], self.no_class, device=like.device)
        return labels

    def dropped(self, conditions: Tensor, rng: torch.Generator) -> Tensor:
        """Returns (B,) conditions, of which a share of about `class_drop` is replaced by no class."""
        drops = rand_rows(conditions.shape[0], rng=rng).to(conditions.device) < self.class_drop
        return torch.where(drops, self.no_class, conditions)

    def with_guides(self, conditions: Tensor) -> Tensor:
        """Returns (B,) conditions for sampling, followed by B conditions of no class if guidance is used."""
        if self.decoding.guidance == 0 or self.codes.num_classes is None:
            return conditions
        return torch.cat([conditions, torch.full_like(conditions, self.no_class)])

    def guided(self, logits: Tensor, count: int) -> Tensor:
        """Maps (count or 2 count, ..., K) logits under `with_guides` -> (count, ..., K) guided logits."""
        if len(logits) == count:
            return logits
        conditional, unconditional = logits.split(count)
        return guide_logits(conditional, unconditional, self.decoding.guidance)

    def start(
        self, draws: Draws, codes: Tensor | None, unknown: Tensor | None, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Returns `codes` as a writable (B, L) copy and `unknown`, both made anew where they are None."""
        if codes is None or unknown is None:
            zeros = torch.zeros(len(draws), self.codes.length, dtype=torch.int64, device=device)
            return zeros, torch.ones_like(zeros, dtype=torch.bool)
        return codes.clone(), unknown
