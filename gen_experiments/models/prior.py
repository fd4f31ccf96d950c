"""A prior over the codes of a trained VQ-VAE: together they generate images."""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments.data.codes import cached_codes
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.images import Batch
from gen_experiments.models.code_model import CodeModel
from gen_experiments.models.sampling import GenerativeModel
from gen_experiments.priors.base import CodeSpec, Draws


class CodePrior(CodeModel, GenerativeModel):
    """Trains a prior p(codes | label) over the codes that a frozen VQ-VAE gives the images.

    The images are encoded once (`data.codes`). It logs `train/loss`, `val/nll` and `test/nll`, all in bits per code,
    that is bits per dimension of the code sequence. The last two are the exact likelihood for `AutoregressivePrior`, an
    upper bound for `MaskedPrior`. They do not bound the likelihood of images, as a decoder that was trained by a
    distance has no density.

    Args and errors as for `CodeModel`.
    """

    @cached_property
    def _codes(self) -> dict[str, list[NDArray[np.int32]]]:
        """For each split: the codes of its images and, for flips, the codes of the mirrored images."""
        return {}

    def code_spec(self) -> CodeSpec:
        """Returns the shape of an image's codes, with its classes."""
        return CodeSpec(self.vqvae.code_grids, self.vqvae.quantizer.codebook_size, self.image.num_classes)

    @property
    def num_classes(self) -> int | None:
        """The number of labels, or None if the prior has no classes."""
        return self.prior.codes.num_classes

    def generate(self, rngs: Sequence[torch.Generator], labels: Tensor | None, truncation: float) -> Tensor:
        """Returns one image per random number generator; see `sample`."""
        return self.decode(self.draw(labels, Draws(rngs), truncation=truncation))

    def on_fit_start(self) -> None:
        """Encodes the training images, or reads their codes from the cache.

        Raises:
            UserError: the validation images have no labels, which the likelihood of a prior of classes needs.
        """
        super().on_fit_start()
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
        if split == "train" and data.framing.crop == "random":  # they change in each epoch
            return
        digest = hashlib.sha256()
        for name, value in self.vqvae.state_dict().items():
            # As bytes: NumPy has no bfloat16.
            digest.update(name.encode() + value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        codes = self.prior.codes
        kinds = (False, True) if split == "train" and data.flip else (False,)
        self._codes[split] = [
            cached_codes(
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
                "sort them into folders of the classes, like the training images"
            )

    def codes_of(self, batch: Batch, split: str) -> Tensor:
        """Returns (B, L) int64 from the array of the split or, for images of no split, from the VQ-VAE."""
        if batch.indices is None or split not in self._codes:
            return self.encode(batch.images)
        indices = batch.indices.cpu().numpy()
        codes = self._codes[split][0][indices]
        if batch.mirrored is not None:
            codes = np.where(batch.mirrored.cpu().numpy()[:, None], self._codes[split][1][indices], codes)
        return torch.from_numpy(codes).to(self.device, torch.int64)
