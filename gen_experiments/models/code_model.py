"""The base of models of the codes of a frozen VQ-VAE: tokenizer, prior, the prior's average, likelihood."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_experiments import randomness
from gen_experiments.checkpoints.loading import build_model, load_model, read_description
from gen_experiments.contracts import require_scalar, require_shape
from gen_experiments.errors import UserError
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.metrics.image_means import ImageMeans
from gen_experiments.models.base import ImageModel
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.priors.base import CodeSpec, Draws, Prior
from gen_experiments.priors.decoding import Decoding, DecodingChanges
from gen_experiments.pure_functions import PureFunction
from gen_experiments.randomness import Stream
from gen_experiments.schedules import Schedule
from gen_experiments.training.ema import EMA, half_life_schedule
from gen_experiments.training.optimizers import OptimizerFactory
from gen_experiments.units import BITS_PER_CODE

PriorFactory = Callable[[CodeSpec], Prior]
NATS_OF_A_BIT = math.log(2)


class CodeModel(ImageModel):
    """The base of models that train a prior over the codes that a frozen VQ-VAE gives images.

    A subclass defines the shape of the codes (`code_spec`) and the codes of a batch (`codes_of`). It logs `train/loss`,
    `val/nll` and `test/nll`, all in bits per code.

    Args:
        image: what the images are like; the command line links it from the data.
        vqvae: a VQ-VAE's checkpoint, or its run (the best checkpoint); in this model's own checkpoints, which also hold
            the weights of the VQ-VAE, its description.
        prior: the density to learn.
        optimizer: makes the optimizer of the prior.
        ema_half_life: half-life, in images, of the prior's moving average, which is validated and sampled; 0 takes the
            raw weights. A number is warmed up (`training.ema.half_life_schedule`), a schedule is taken unchanged.
        lr_schedule: factor on the learning rate, as a function of images seen; None keeps it.

    Raises:
        UserError: the checkpoint is no VQ-VAE or was trained on images of another shape; a negative half-life.
    """

    score_without_fid: ClassVar[tuple[str, str] | None] = ("val/nll", "min")
    units: ClassVar[Mapping[str, str]] = {"train/loss": BITS_PER_CODE}

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
        self.vqvae = self._load_frozen(vqvae)
        if self.vqvae.image.shape != image.shape:
            raise UserError(
                f"the VQ-VAE was trained on images of shape {self.vqvae.image.shape} and these have {image.shape}: "
                "set data.source and data.size to those of the VQ-VAE"
            )
        with torch.no_grad():
            self.code_shape = self.vqvae.encode(torch.zeros(1, *image.shape)).shape[1:]
        self.prior = prior(self.code_spec())
        self.ema = EMA(self.prior)
        self.optimizer = optimizer
        self.ema_half_life = half_life
        self._means = ImageMeans("nll")

    @abstractmethod
    def code_spec(self) -> CodeSpec:
        """Returns the shape of the codes of the prior; the VQ-VAE is loaded already."""

    @abstractmethod
    def codes_of(self, batch: Batch, split: str) -> Tensor:
        """Returns the codes of a batch of a split, (B, L) int64."""

    def _load_frozen(self, vqvae: str) -> VQVAE:
        if vqvae.startswith("{"):
            model = build_model(vqvae, VQVAE)
        else:
            model = load_model(vqvae, VQVAE, "turn images into codes: give --model.vqvae the checkpoint of a VQVAE")
            vqvae = read_description(vqvae)
        # With the description the prior's checkpoint needs no other file: it holds the VQ-VAE's weights.
        self._description = vqvae
        if "vqvae" in self.hparams:
            self.hparams["vqvae"] = vqvae
        assert isinstance(model, VQVAE)
        return model.eval().requires_grad_(False)

    def averaged_parts(self) -> list[tuple[EMA, nn.Module]]:
        """Returns the average of the prior, with the prior."""
        return [(self.ema, self.prior)]

    def hyper_parameters(self) -> dict[str, Any]:
        """Returns those of every model, with the description of the VQ-VAE instead of its file."""
        return super().hyper_parameters() | {"vqvae": self._description}

    def train(self, mode: bool = True) -> "CodeModel":
        """Sets the mode of the prior; the VQ-VAE stays in evaluation mode."""
        super().train(mode)
        self.vqvae.eval()
        return self

    @property
    def averaged(self) -> Prior:
        """The moving average of the prior."""
        assert isinstance(self.ema.module, Prior)
        return self.ema.module

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) images in [-1, 1] -> (B, L) codes, level by level and row by row."""
        return self.vqvae.encode(images).flatten(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Maps (B, L) codes -> (B, C, H, W) images."""
        return self.vqvae.decode(codes.unflatten(1, self.code_shape))

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns the functions of the VQ-VAE and of the averaged prior, whose input is `codes.flatten(1)`."""
        return {**self.vqvae.pure_functions(), **self.averaged.pure_functions()}

    @property
    def decoding(self) -> Decoding:
        """How the averaged prior draws codes."""
        return self.averaged.decoding

    def decode_by(self, changes: DecodingChanges) -> None:
        """Changes how the averaged prior draws codes, until the model is loaded again.

        Raises:
            UserError: a number is out of range, or the prior cannot be guided.
        """
        if changes.guidance and self.averaged.codes.num_classes is None:
            raise UserError("guidance is for priors of classes, and this one has none: leave it out")
        self.averaged.decode_by(changes.applied_to(self.decoding))

    def draw(
        self,
        labels: Tensor | None,
        draws: Draws,
        codes: Tensor | None = None,
        unknown: Tensor | None = None,
        truncation: float = 1.0,
    ) -> Tensor:
        """Returns codes drawn from the averaged prior; see `Prior.sample`, and `sample` for the truncation."""
        prior, decoding = self.averaged, self.decoding
        prior.decoding = replace(decoding, temperature=truncation * decoding.temperature)
        try:
            codes_drawn = prior.sample(None if labels is None else labels.to(self.device), draws, codes, unknown)
        finally:
            prior.decoding = decoding
        require_shape(codes_drawn, (len(draws), prior.codes.length), f"the result of {type(prior).__name__}.sample")
        return codes_drawn

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the prior's loss of a batch."""
        codes = self.codes_of(batch, "train")
        loss = self.prior.loss(codes, batch.labels, self.iteration_rng(), self.images_before)
        require_scalar(loss, f"the result of {type(self.prior).__name__}.loss")
        self.log_training(loss=loss / NATS_OF_A_BIT)
        return loss

    def after_step(self, images: int) -> None:
        """Updates the average."""
        self.ema.update(self.prior, images, self.ema_half_life(self.images_seen - images))

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor] | None:
        """Adds the likelihood of a batch."""
        # By the image, so that the estimate of an image is the same in whichever batch and process it is.
        seeds = randomness.seeds_of(batch.places.to(self.device), Stream.EVALUATION)
        codes = self.codes_of(batch, "test" if self.trainer.testing else "val")
        nats = self.averaged.nll(codes, batch.labels, seeds)
        require_shape(nats, (len(batch.images),), f"the result of {type(self.averaged).__name__}.nll")
        bits = nats.mean() / (NATS_OF_A_BIT * self.prior.codes.drawn)
        self._means.update(len(batch.images), nll=bits)
        return None

    def log_evaluation(self, split: str) -> None:
        """Logs the likelihood."""
        self.log(f"{split}/nll", self._means.compute(self.device)["nll"])
        super().log_evaluation(split)

    def configure_optimizers(self) -> list[Optimizer]:
        """Returns the prior's optimizer."""
        return self.scheduled(self.optimizer(self.prior.parameters()))
