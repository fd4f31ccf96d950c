"""A prior that proposes restorations: over the codes of a clean picture, given the codes of the damaged one."""

from typing import ClassVar

import torch
from torch import Tensor

from gen_experiments import randomness
from gen_experiments.images import Batch
from gen_experiments.models.averaged_translator import place_among, source_images_of
from gen_experiments.models.code_model import CodeModel
from gen_experiments.precision import at_least_float32
from gen_experiments.priors.base import CodeSpec, Draws
from gen_experiments.randomness import Stream
from gen_experiments.training.data_checks import require_pairs, require_source_images


class RestorationPrior(CodeModel):
    """Trains a prior p(codes of the image | codes of its source) over the codes of a frozen VQ-VAE.

    Over data with `damage` its decoded samples are proposals for the clean picture. They are samples of codes given
    codes: what the VQ-VAE loses of either picture is lost, and the decoder adds no randomness. The VQ-VAE should be
    trained to restore, with some hardly damaged pictures among its own, so that it encodes both kinds. Both sets of
    codes are one sequence, which begins with the codes of the source; the prior always knows these
    (`CodeSpec.given`). Labels are not used.

    It logs `train/loss`, `val/nll` and `test/nll`, all in bits per code of the image. The last two are the exact
    conditional likelihood for `AutoregressivePrior`, an upper bound for `MaskedPrior`. Validation and `translate` use
    the first proposal of seed 0.

    Args and errors as for `CodeModel`.
    """

    directions: ClassVar[tuple[str, ...]] = ("B",)

    def setup(self, stage: str) -> None:
        """Also refuses data without pairs.

        Raises:
            UserError: the data hold single images, or sources that show something else.
        """
        require_source_images(self)
        require_pairs(self)
        super().setup(stage)

    def code_spec(self) -> CodeSpec:
        """Returns the shape of both sets of codes: the source's, which are given, and the image's."""
        grids = self.vqvae.code_grids
        length = sum(height * width for height, width in grids)
        return CodeSpec(2 * grids, self.vqvae.quantizer.codebook_size, given=length)

    def codes_of(self, batch: Batch, split: str) -> Tensor:
        """Returns (B, L) int64; they are encoded anew, as the damage changes in every epoch."""
        return torch.cat([self.encode(source_images_of(batch)), self.encode(batch.images)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Calls `translate`."""
        return self.translate(images)

    @torch.no_grad()
    def propose(self, images: Tensor, proposal: int = 0, seed: int = 0) -> Tensor:
        """Draws a restoration of each image.

        The random numbers of a proposal depend on its number, the seed and the image's codes, and not on the other
        images of the batch.

        Args:
            images: (B, C, H, W) in [-1, 1].
            proposal: the number of the proposal in the endless sequence of an image's proposals.
            seed: names the sequence.

        Returns:
            (B, C, H, W); values should lie in [-1, 1].
        """
        known_codes = self.encode(images)
        keys = [(Stream.SAMPLE, seed, proposal, *codes) for codes in known_codes.tolist()]
        draws = Draws([randomness.generator("cpu", *key) for key in keys])
        unknown = torch.zeros_like(known_codes, dtype=torch.bool)
        codes = torch.cat([known_codes, torch.zeros_like(known_codes)], dim=1)
        drawn = self.draw(None, draws, codes, torch.cat([unknown, ~unknown], dim=1))
        return at_least_float32(self.decode(drawn[:, known_codes.shape[1] :]))

    def translate(self, images: Tensor, to: str | None = None) -> Tensor:
        """Returns the first proposal of seed 0 for (B, C, H, W) images; same shape.

        Raises:
            UserError: another direction than B is asked for.
        """
        place_among(self.directions, to, type(self).__name__)
        return self.propose(images)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Adds the likelihood of a batch; returns its restorations for the callbacks."""
        super().validation_step(batch, batch_idx)
        return {"translations": self.translate(source_images_of(batch))}

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the restorations of a batch."""
        return self.translate(source_images_of(batch))
