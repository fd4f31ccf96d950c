"""A prior over the codes of a trained VQ-VAE: the two together generate images."""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments.data.codes import encoded
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.images import Batch
from gen_experiments.models.code_model import CodeModel
from gen_experiments.models.sampling import GenerativeModel
from gen_experiments.priors.base import CodeSpec, Draws


class CodePrior(CodeModel, GenerativeModel):
    """Trains a prior p(codes | label) over the codes that a frozen VQ-VAE gives the images.

    The images are encoded once (`data.codes`). Logged are `train/loss`, `val/nll` and `test/nll`, all in bits per code,
    the bits per dimension of the code sequence. The last two are the likelihood itself for an exact prior
    (`AutoregressivePrior`), an upper bound for the others (`MaskedPrior`). They are no bound for the images, to which a
    decoder trained by a distance gives no density.

    Args and errors as for `CodeModel`.
    """

    @cached_property
    def _codes(self) -> dict[str, list[NDArray[np.int32]]]:
        """Of each split: the codes of its images and, where some are mirrored, those of the mirrored ones."""
        return {}

    def code_spec(self) -> CodeSpec:
        """Returns those of an image, with its classes."""
        return CodeSpec(self.vqvae.code_grids, self.vqvae.quantizer.codebook_size, self.image.num_classes)

    @property
    def num_classes(self) -> int | None:
        """How many labels images can be asked of, or None if the prior knows no labels."""
        return self.prior.codes.num_classes

    def generate(self, sources: Sequence[torch.Generator], labels: Tensor | None, truncation: float) -> Tensor:
        """Returns an image of each source; see `sample`."""
        return self.decode(self.draw(labels, Draws(sources), truncation=truncation))

    def on_fit_start(self) -> None:
        """Encodes the training images, or finds their codes.

        Raises:
            UserError: the validation images have no labels, without which those of a prior of classes are not scored.
        """
        self._find_codes("train")
        self._require_labels("val")

    def on_validation_start(self) -> None:
        """The same for the validation images."""
        self._find_codes("val")

    def on_test_start(self) -> None:
        """The same for the test images."""
        self._find_codes("test")

    def _find_codes(self, split: str) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if split in self._codes or not isinstance(data, ImageDataModule):
            return
        self._require_labels(split)
        if split == "train" and data.framing.crop == "random":  # others in each epoch: encoded batch by batch
            return
        digest = hashlib.sha256()
        for name, value in self.vqvae.state_dict().items():
            # As bytes: NumPy has no bfloat16.
            digest.update(name.encode() + value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        codes = self.prior.codes
        kinds = (False, True) if split == "train" and data.flip else (False,)
        self._codes[split] = [
            encoded(
                data.split(split),
                self.encode,
                encoder=digest.hexdigest(),
                length=codes.length,
                num_codes=codes.codebook_size,
                device=self.device,
                mirrored=mirrored,
            )
            for mirrored in kinds
        ]

    def _require_labels(self, split: str) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if self.num_classes is not None and isinstance(data, ImageDataModule) and data.split(split).all_labels is None:
            raise UserError(
                f"the {split} images have no labels, and a prior of classes is scored by the likelihood given a label: "
                "lay them in folders of the classes, as the training images are"
            )

    def codes_of(self, batch: Batch, split: str) -> Tensor:
        """Returns (B, L) int64: from the array of the split or, for images of no split, from the VQ-VAE."""
        if batch.indices is None or split not in self._codes:
            return self.encode(batch.images)
        indices = batch.indices.cpu().numpy()
        codes = self._codes[split][0][indices]
        if batch.mirrored is not None:
            codes = np.where(batch.mirrored.cpu().numpy()[:, None], self._codes[split][1][indices], codes)
        return torch.from_numpy(codes).to(self.device, torch.int64)
