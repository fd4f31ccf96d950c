"""The VQ-VAE (https://arxiv.org/abs/1711.00937): an autoencoder whose latents are codes of a finite codebook."""

import warnings
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.functions import PureFunction
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.reconstruction import ReconstructionLoss
from gen_experiments.metrics.codebook import BatchPerplexity, CodebookUsage, perplexity, usage
from gen_experiments.metrics.means import ImageMeans
from gen_experiments.models.adversary import Adversary, adaptive_weight
from gen_experiments.models.autoencoding import autoencoding
from gen_experiments.models.base import (
    NOISE_STREAM,
    DecoderFactory,
    EncoderFactory,
    ImageModel,
    OptimizerFactory,
    global_size,
)
from gen_experiments.models.ema import EMA, half_life_schedule
from gen_experiments.models.judging import due_penalties, judged
from gen_experiments.models.statistics import logit_statistics
from gen_experiments.networks.base import Decoder, Encoder
from gen_experiments.precision import at_least_float32
from gen_experiments.quantizers.base import Quantized, Quantizer
from gen_experiments.quantizers.learned import LearnedCodebook
from gen_experiments.schedules import Schedule


class VQVAE(ImageModel):
    """Trains encoder, quantizer and decoder by reconstruction loss + the quantizer's own loss.

    With an adversary it is a VQGAN: the decoder also learns to deceive a discriminator, which is trained in turn under
    manual optimization. `global_step` counts iterations either way.

    Args:
        image: what the images are like; the command line links it from the data.
        encoder: images to latents of the quantizer's channels.
        decoder: quantized latents to images.
        quantizer: latents to codes and back.
        reconstruction: the distance of images and reconstructions.
        optimizer: makes the optimizer of all parameters.
        adversary: the discriminator and its weight; None for none.
        lr_schedule: factor on the learning rates, as a function of images seen; None keeps them.
        compile: whether to compile encoder and decoder: a minute's wait, then faster steps.
        ema_half_life: half-life, in real images, of moving averages of encoder, codebook and decoder, which are then
            what is validated and used; None keeps none. A number is warmed up (`models.ema.half_life_schedule`), a
            schedule is taken as it is.

    Attributes:
        code_counts: (codebook_size,), how often the last validation or test met each code, over all processes.
    """

    score_without_fid: ClassVar[tuple[str, str] | None] = ("val/psnr", "max")

    def __init__(
        self,
        image: ImageSpec,
        encoder: EncoderFactory,
        decoder: DecoderFactory,
        quantizer: Quantizer,
        reconstruction: ReconstructionLoss,
        optimizer: OptimizerFactory,
        adversary: Adversary | None = None,
        lr_schedule: Schedule | None = None,
        compile: bool = False,
        ema_half_life: float | Schedule | None = None,
    ) -> None:
        super().__init__(image, lr_schedule)
        self.encoder = encoder(image, quantizer.dim)
        self.decoder = decoder(image, quantizer.dim)
        self.quantizer = quantizer
        self.ema_half_life = None if ema_half_life is None else half_life_schedule(ema_half_life)
        if self.ema_half_life is not None:
            self.averages = nn.ModuleList(EMA(part, average_buffers=True) for part in self._trained())
        self.reconstruction = reconstruction
        self.optimizer = optimizer
        self.codebook_usage = CodebookUsage(quantizer.codebook_size)
        self.batch_perplexity = BatchPerplexity()
        self.code_counts: Tensor | None = None
        self._means = ImageMeans("loss", "recon_mse")
        if compile:
            self.compile_in_training(self.encoder, self.decoder)
        self.adversary = adversary
        if adversary is not None:
            self.automatic_optimization = False
            self.discriminator = adversary.discriminator(image)
            self.penalties = nn.ModuleList(adversary.penalties)

    def forward(self, images: Tensor) -> tuple[Tensor, Quantized]:
        """Reconstructs (B, C, H, W) images in [-1, 1], at least in float32, and says through which codes."""
        quantized = self._quantized(images)
        return at_least_float32(self._parts()[2](quantized.values)), quantized

    def encode(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) images in [-1, 1] -> (B, h, w) int64 codes."""
        return self._quantized(images).indices

    @property
    def code_grids(self) -> tuple[tuple[int, int], ...]:
        """The grids of an image's codes, (h, w) of each level of the quantizer in their order."""
        return self.quantizer.grids(*self._grid)

    @cached_property
    def _grid(self) -> tuple[int, int]:
        """Height and width of the latents."""
        with torch.no_grad():
            height, width = self.encoder(torch.zeros(1, *self.image.shape, device=self.device)).shape[-2:]
        return height, width

    def code_latents(self, indices: Tensor) -> Tensor:
        """Maps (B, h, w) int64 codes -> (B, D, h, w) quantized latents."""
        latents: Tensor = self._parts()[1].decode_grid(indices, *self._grid)
        return latents

    def decode(self, indices: Tensor) -> Tensor:
        """Maps (B, h, w) int64 codes -> (B, C, H, W) images."""
        images: Tensor = self._parts()[2](self.code_latents(indices))
        return images

    def _quantized(self, images: Tensor) -> Quantized:
        encoder, quantizer, _ = self._parts()
        quantized = quantizer(encoder(images))
        if not isinstance(quantized, Quantized):
            raise UserError(
                f"{type(quantizer).__name__}.forward returned a {type(quantized).__name__}: "
                "return a gen_experiments.quantizers.base.Quantized"
            )
        return quantized

    def _trained(self) -> tuple[Encoder, Quantizer, Decoder]:
        return self.encoder, self.quantizer, self.decoder

    def _parts(self) -> tuple[Encoder, Quantizer, Decoder]:
        """Returns what is trained or, outside of training and where they are kept, the averages."""
        if self.training or self.ema_half_life is None:
            return self._trained()
        encoder, quantizer, decoder = (average.module for average in self.averages)
        return encoder, quantizer, decoder  # type: ignore[return-value]

    def reconstruct(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) images in [-1, 1] -> their reconstructions."""
        reconstructions: Tensor = self(images)[0]
        return reconstructions

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns `encoder`, `codebook` and `decoder`; see `autoencoding`."""
        return autoencoding(self.image, *self._parts())

    def on_train_start(self) -> None:
        """Warns of an adversary that would never begin, beside what every model warns of."""
        super().on_train_start()
        if self.adversary is not None and self.run_images <= self.adversary.start and self.trainer.is_global_zero:
            warnings.warn(
                f"adversary.start={self.adversary.start} lies beyond the {self.run_images} images of this run: "
                "the discriminator is never trained",
                stacklevel=2,
            )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Makes one step of the autoencoder and, with an adversary, one of the discriminator."""
        reconstructions, quantized = self(batch.images)
        error = self.reconstruction(reconstructions, batch.images)
        loss: Tensor = error + quantized.loss
        logs = {"reconstruction": error, "quantizer": quantized.loss}
        if self.adversary is not None:
            loss = self._adversarial_steps(self.adversary, batch, reconstructions, error, loss, logs)
            self.after_step(global_size(batch))
        if self.logs_this_iteration:
            revived = [codebook.take_revived() for codebook in self._codebooks()]
            logs |= {"codes_revived": torch.stack(revived).sum()} if revived else {}
        self.log_training(loss=loss, **logs)
        return loss

    def after_step(self, images: int) -> None:
        """Moves the averages."""
        if self.ema_half_life is not None:
            half_life = self.ema_half_life(self.images_seen - images)
            for average, part in zip(self.averages, self._trained(), strict=True):
                average.update(part, images, half_life)  # type: ignore[operator]

    def _adversarial_steps(
        self,
        adversary: Adversary,
        batch: Batch,
        reconstructions: Tensor,
        error: Tensor,
        loss: Tensor,
        logs: dict[str, Tensor],
    ) -> Tensor:
        """Steps both optimizers and returns the autoencoder's whole loss; adds to `logs`."""
        iteration, strength = self.global_step, adversary.strength(self.images_seen)
        with self.stepping(0):
            if strength > 0:
                adversarial = adversary.loss.generator(None, self._logits(reconstructions, batch))
                factor = torch.tensor(strength)
                if adversary.adaptive:
                    factor = strength * adaptive_weight(error, adversarial, self.decoder.last_weight)
                loss = loss + factor * adversarial
                logs |= {"adversarial": adversarial, "adversarial_weight": factor}
            self.manual_backward(loss)
        if self.images_seen >= adversary.start:
            source = randomness.generator(self.device, randomness.run_seed(), NOISE_STREAM, iteration)
            due, logits = due_penalties(self.penalties, iteration), [partial(self._logits, batch=batch)] * 2
            with self.stepping(1):
                found = judged(adversary.loss, logits, batch.images, reconstructions.detach(), due, source)
                self.manual_backward(found.loss)
            logs |= {"loss_d": found.loss, **logit_statistics(found.real, found.fake, adversary.loss.boundary)}
        return loss.detach()

    def _logits(self, images: Tensor, batch: Batch) -> Tensor:
        """Returns the discriminator's logits, at least in float32 as in `GAN`."""
        logits: Tensor = self.discriminator(images, batch.labels)
        return at_least_float32(logits)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Counts the losses and codes of a batch; gives codes and reconstructions to the callbacks."""
        return self._evaluation_step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Returns the same on the test split."""
        return self._evaluation_step(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the reconstructions of a batch."""
        return self.reconstruct(batch.images)

    def on_validation_epoch_end(self) -> None:
        """Logs the losses and how much of the codebook the epoch used."""
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        """The same on the test split."""
        self._log_evaluation("test")

    def _evaluation_step(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        reconstructions, quantized = self(batch.images)
        error = self.reconstruction(reconstructions, batch.images)
        squared = (reconstructions.float() - batch.images).square().mean()
        self._means.update(len(batch.images), loss=error + quantized.loss, recon_mse=squared)
        self.codebook_usage.update(quantized.indices)
        self.batch_perplexity.update(quantized.indices)
        return {"reconstructions": reconstructions, "codes": quantized.indices}

    def _log_evaluation(self, stage: str) -> None:
        self.code_counts = counts = self.codebook_usage.compute()
        self.codebook_usage.reset()
        logs = self._means.compute(self.device)
        logs |= {"perplexity": perplexity(counts), "codebook_usage": usage(counts)}
        of_batches = self.batch_perplexity.compute()
        self.batch_perplexity.reset()
        if not of_batches.isnan():
            logs["batch_perplexity"] = of_batches
        self.log_dict({f"{stage}/{name}": value for name, value in logs.items()})
        self.log_images_seen()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the codes that were revived since they were last logged."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["codes_revived"] = [codebook.revived for codebook in self._codebooks()]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes their numbers."""
        super().on_load_checkpoint(checkpoint)
        for codebook, revived in zip(self._codebooks(), checkpoint.get("codes_revived", []), strict=False):
            codebook.revived.copy_(revived)

    def _codebooks(self) -> list[LearnedCodebook]:
        return [part for part in self.quantizer.modules() if isinstance(part, LearnedCodebook)]

    def configure_optimizers(self) -> list[Optimizer]:
        """Returns one optimizer over the autoencoder and, with an adversary, one over its discriminator."""
        optimizers = [self.optimizer([weight for part in self._trained() for weight in part.parameters()])]
        if self.adversary is not None:
            optimizers.append(self.adversary.optimizer(self.discriminator.parameters()))
        return self.scheduled(*optimizers)
