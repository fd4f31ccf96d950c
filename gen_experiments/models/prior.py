"""A prior over the codes of a trained VQ-VAE: the two together generate images."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from gen_experiments import randomness
from gen_experiments.data.codes import encoded
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.functions import PureFunction
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.metrics.means import ImageMeans
from gen_experiments.models.base import NOISE_STREAM, OptimizerFactory
from gen_experiments.models.checkpoints import build_model, described, load_model
from gen_experiments.models.ema import EMA, half_life_schedule
from gen_experiments.models.sampling import GenerativeModel
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.priors.base import CodeSpec, Draws, Prior
from gen_experiments.schedules import Schedule

PriorFactory = Callable[[CodeSpec], Prior]
EVALUATION_STREAM = 4


class CodePrior(GenerativeModel):
    """Trains a prior p(codes | label) over the codes that a frozen VQ-VAE gives the images.

    The images are encoded once (`data.codes`). Logged are `train/loss` in nats per code, and `val/nll`, `test/nll` in
    bits per code, the bits per dimension of the code sequence: the likelihood itself for an exact prior
    (`AutoregressivePrior`), an upper bound for the others (`MaskedPrior`). They are no bound for the images, to which a
    decoder trained by a distance gives no density.

    Args:
        image: what the images are like; the command line links it from the data.
        vqvae: a VQ-VAE's checkpoint. In this model's own checkpoints, which hold the weights of the VQ-VAE too, its
            description instead.
        prior: the density to learn.
        optimizer: makes the optimizer of the prior.
        ema_half_life: half-life, in images, of the prior's moving average, which is what is validated and sampled;
            0 takes the raw weights. A number is warmed up (`models.ema.half_life_schedule`), a schedule is taken as it
            is.
        lr_schedule: factor on the learning rate, as a function of images seen; None keeps it.

    Raises:
        UserError: the checkpoint is no VQ-VAE or was trained on images of another shape; a negative half-life.
    """

    score_without_fid: ClassVar[tuple[str, str] | None] = ("val/nll", "min")

    def __init__(
        self,
        image: ImageSpec,
        vqvae: str,
        prior: PriorFactory,
        optimizer: OptimizerFactory,
        ema_half_life: float | Schedule = 50_000.0,
        lr_schedule: Schedule | None = None,
    ) -> None:
        half_life = half_life_schedule(ema_half_life)
        super().__init__(image, lr_schedule)
        self.vqvae = self._frozen(vqvae)
        if self.vqvae.image.shape != image.shape:
            raise UserError(
                f"the VQ-VAE was trained on images of shape {self.vqvae.image.shape} and these have {image.shape}: "
                "set data.source and data.size to those of the VQ-VAE"
            )
        with torch.no_grad():
            self.code_shape = self.vqvae.encode(torch.zeros(1, *image.shape)).shape[1:]
        codes = CodeSpec(self.vqvae.code_grids, self.vqvae.quantizer.codebook_size, image.num_classes)
        self.prior = prior(codes)
        self.ema = EMA(self.prior)
        self.optimizer = optimizer
        self.ema_half_life = half_life
        self._means = ImageMeans("nll")
        # Of each split: the codes of its images and, where some are mirrored, those of the mirrored ones.
        self._codes: dict[str, list[NDArray[np.int32]]] = {}

    def _frozen(self, vqvae: str) -> VQVAE:
        if vqvae.startswith("{"):
            model = build_model(vqvae, VQVAE)
        else:
            model = load_model(vqvae, VQVAE, "turn images into codes: give --model.vqvae the checkpoint of a VQVAE")
            vqvae = described(vqvae)
        # With this the checkpoint of the prior stands alone: it has the VQ-VAE's weights already.
        self._description = vqvae
        if "vqvae" in self.hparams:
            self.hparams["vqvae"] = vqvae
        assert isinstance(model, VQVAE)
        return model.eval().requires_grad_(False)

    def hyper_parameters(self) -> dict[str, Any]:
        """Returns those of every model, with the description of the VQ-VAE in the place of its file."""
        return super().hyper_parameters() | {"vqvae": self._description}

    def train(self, mode: bool = True) -> "CodePrior":
        """Trains the prior; the VQ-VAE stays as it is."""
        super().train(mode)
        self.vqvae.eval()
        return self

    @property
    def num_classes(self) -> int | None:
        """How many labels images can be asked of, or None if the prior knows no labels."""
        return self.prior.codes.num_classes

    @property
    def averaged(self) -> Prior:
        """The moving average of the prior."""
        assert isinstance(self.ema.module, Prior)
        return self.ema.module

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) images in [-1, 1] -> (B, L) codes, level after level and row by row."""
        return self.vqvae.encode(images).flatten(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Maps (B, L) codes -> (B, C, H, W) images."""
        return self.vqvae.decode(codes.unflatten(1, self.code_shape))

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns those of the VQ-VAE and of the averaged prior, whose codes are `codes.flatten(1)` of the former."""
        return {**self.vqvae.pure_functions(), **self.averaged.pure_functions()}

    def generate(self, sources: Sequence[torch.Generator], labels: Tensor | None, truncation: float) -> Tensor:
        """Returns an image of each source; see `sample`."""
        return self.decode(self.draw(labels, Draws(sources), truncation=truncation))

    def draw(
        self,
        labels: Tensor | None,
        draws: Draws,
        codes: Tensor | None = None,
        unknown: Tensor | None = None,
        truncation: float = 1.0,
    ) -> Tensor:
        """Returns codes drawn from the averaged prior; see `Prior.sample`, and `sample` for the truncation."""
        prior, decoding = self.averaged, self.averaged.decoding
        prior.decoding = replace(decoding, temperature=truncation * decoding.temperature)
        try:
            return prior.sample(None if labels is None else labels.to(self.device), draws, codes, unknown)
        finally:
            prior.decoding = decoding

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
                digest.hexdigest(),
                codes.length,
                codes.codebook_size,
                self.device,
                mirrored,
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

    def _codes_of(self, batch: Batch, split: str) -> Tensor:
        """Returns (B, L) int64: from the array of the split or, for images of no split, from the VQ-VAE."""
        if batch.indices is None or split not in self._codes:
            return self.encode(batch.images)
        indices = batch.indices.cpu().numpy()
        codes = self._codes[split][0][indices]
        if batch.mirrored is not None:
            codes = np.where(batch.mirrored.cpu().numpy()[:, None], self._codes[split][1][indices], codes)
        return torch.from_numpy(codes).to(self.device, torch.int64)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the prior's loss of a batch."""
        source = randomness.generator(self.device, randomness.run_seed(), NOISE_STREAM, self.global_step)
        loss = self.prior.loss(self._codes_of(batch, "train"), batch.labels, source, self.images_seen)
        self.log_training(loss=loss)
        return loss

    def after_step(self, images: int) -> None:
        """Moves the average."""
        self.ema.update(self.prior, images, self.ema_half_life(self.images_seen - images))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Counts the likelihood of a batch."""
        self._count_likelihood(batch, batch_idx, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """The same on the test split."""
        self._count_likelihood(batch, batch_idx, "test")

    def on_validation_epoch_end(self) -> None:
        """Logs the likelihood."""
        self.log("val/nll", self._means.compute(self.device)["nll"])
        super().on_validation_epoch_end()

    def on_test_epoch_end(self) -> None:
        """The same on the test split."""
        self.log("test/nll", self._means.compute(self.device)["nll"])

    def _count_likelihood(self, batch: Batch, batch_idx: int, stage: str) -> None:
        source = randomness.generator(self.device, EVALUATION_STREAM, batch_idx)
        nats = self.averaged.nll(self._codes_of(batch, stage), batch.labels, source).mean()
        bits = nats / (math.log(2) * self.prior.codes.length)
        self._means.update(len(batch.images), nll=bits)

    def configure_optimizers(self) -> list[Optimizer]:
        """Returns the prior's optimizer."""
        return self.scheduled(self.optimizer(self.prior.parameters()))
