"""A prior that proposes restorations: over the codes of the clean picture, given those of the damaged one."""

from typing import ClassVar

import torch
from torch import Tensor

from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.images import Batch
from gen_experiments.models.code_model import CodeModel
from gen_experiments.models.pairs import require_pairs
from gen_experiments.models.sampling import SAMPLE_STREAM
from gen_experiments.models.translating import place_among, sources_of
from gen_experiments.precision import at_least_float32
from gen_experiments.priors.base import CodeSpec, Draws


class RestorationPrior(CodeModel):
    """Trains a prior p(codes of the image | codes of its source) over the codes of a frozen VQ-VAE.

    Over data with `damage` its samples, decoded, are proposals of what a damaged picture may have been. They are
    samples of the codes alone, given the codes: what either picture loses in the VQ-VAE is lost, and the decoder adds
    no randomness. The VQ-VAE is best one that was trained to restore with some pictures among its own that are hardly
    damaged: it then encodes both. The two sets of codes are one sequence, the source's first, of which the prior knows
    these always (`CodeSpec.given`); labels are not used.

    Logged are `train/loss`, `val/nll` and `test/nll`, all in bits per code of the image: the last two are the
    conditional likelihood itself for `AutoregressivePrior`, an upper bound for `MaskedPrior`. What is validated and
    what `translate` gives is the first proposal of seed 0.

    Args and errors as for `CodeModel`.
    """

    directions: ClassVar[tuple[str, ...]] = ("B",)

    def setup(self, stage: str) -> None:
        """Refuses data without pairs, beside what every model does.

        Raises:
            UserError: the data hold single images, or sources that show something else.
        """
        if not getattr(self.trainer.datamodule, "has_sources", True):  # type: ignore[attr-defined]
            raise UserError(
                f"{type(self).__name__} learns what damaged pictures were: damage the images by data.damage, or choose "
                "a source of pairs, such as PairedFolders"
            )
        require_pairs(self)
        super().setup(stage)

    def code_spec(self) -> CodeSpec:
        """Returns those of the source, which are given, and those of the image."""
        grids = self.vqvae.code_grids
        given = sum(height * width for height, width in grids)
        return CodeSpec(2 * grids, self.vqvae.quantizer.codebook_size, given=given)

    def codes_of(self, batch: Batch, split: str) -> Tensor:
        """Returns (B, L) int64, encoded anew, as the damage is another in every epoch."""
        return torch.cat([self.encode(sources_of(batch)), self.encode(batch.images)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Returns what `translate` does."""
        return self.translate(images)

    @torch.no_grad()
    def propose(self, images: Tensor, proposal: int = 0, seed: int = 0) -> Tensor:
        """Draws a restoration of each image.

        The random numbers of a proposal depend on its number, the seed and the image's own codes: neither on its
        neighbours nor on its place among them.

        Args:
            images: (B, C, H, W) in [-1, 1].
            proposal: which of the endless sequence of an image's proposals.
            seed: names that sequence.

        Returns:
            (B, C, H, W), meant to lie in [-1, 1].
        """
        given = self.encode(images)
        keys = [(SAMPLE_STREAM, seed, proposal, *codes) for codes in given.tolist()]
        draws = Draws([randomness.generator("cpu", *key) for key in keys])
        unknown = torch.zeros_like(given, dtype=torch.bool)
        codes = torch.cat([given, torch.zeros_like(given)], dim=1)
        drawn = self.draw(None, draws, codes, torch.cat([unknown, ~unknown], dim=1))
        return at_least_float32(self.decode(drawn[:, given.shape[1] :]))

    def translate(self, images: Tensor, to: str | None = None) -> Tensor:
        """Returns the first proposal of seed 0 for (B, C, H, W) images; same shape.

        Raises:
            UserError: another direction than B is asked for.
        """
        place_among(self.directions, to, type(self).__name__)
        return self.propose(images)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Counts the likelihood of a batch; gives its restorations to the callbacks."""
        super().validation_step(batch, batch_idx)
        return {"translations": self.translate(sources_of(batch))}

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The same on the test split."""
        super().test_step(batch, batch_idx)
        return {"translations": self.translate(sources_of(batch))}

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the restorations of a batch."""
        return self.translate(sources_of(batch))
