"""The VQ-VAE (https://arxiv.org/abs/1711.00937): an autoencoder whose latents are codes of a finite codebook."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_experiments import distributed
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.reconstruction import ReconstructionLoss
from gen_experiments.models.adversary import Adversary, adaptive_weight
from gen_experiments.models.tokenizer import Tokenizer
from gen_experiments.networks.base import DecoderFactory, EncoderFactory
from gen_experiments.quantizers.base import Quantizer
from gen_experiments.quantizers.learned import LearnedCodebook
from gen_experiments.schedules import Schedule
from gen_experiments.training.data_checks import require_pairs
from gen_experiments.training.discriminator_loss import (
    discriminator_logits,
    discriminator_loss,
    due_penalties,
    logit_statistics,
)
from gen_experiments.training.optimizers import OptimizerFactory, trainable_parameters


class VQVAE(Tokenizer):
    """Trains encoder, quantizer and decoder by reconstruction loss + the quantizer's own loss.

    Over data with `damage` or pairs it reconstructs the `images` of a batch from its `source_images`.

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
            validated and used; None keeps none. A number is warmed up (`training.ema.half_life_schedule`), a schedule
            is taken unchanged.

    Attributes:
        code_counts: see `Tokenizer`.
    """

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
        super().__init__(image, encoder, decoder, quantizer, reconstruction, lr_schedule, ema_half_life)
        self.optimizer = optimizer
        if compile:
            self.compile_in_training(self.encoder, self.decoder)
        self.adversary = adversary
        if adversary is not None:
            self.automatic_optimization = False
            self.discriminator = adversary.discriminator(image)
            self.penalties = nn.ModuleList(adversary.penalties)

    def setup(self, stage: str) -> None:
        """Also refuses sources that show something else than the images.

        Raises:
            UserError: the data are unpaired pictures of two sides.
        """
        require_pairs(self)
        super().setup(stage)

    def on_train_start(self) -> None:
        """Also warns of an adversary that would never begin."""
        super().on_train_start()
        last = self.images_before_last
        if self.adversary is not None and last < self.adversary.start:
            distributed.warn_once(
                f"adversary.start={self.adversary.start} lies beyond the {last} images before the last batch of this "
                "run: the discriminator is never trained"
            )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Makes one step of the autoencoder and, with an adversary, one of the discriminator."""
        reconstructions, quantized = self(batch.inputs)
        error = self.reconstruction_error(reconstructions, batch.images)
        loss: Tensor = error + quantized.loss
        logs = {"reconstruction": error, "quantizer": quantized.loss}
        if self.adversary is not None:
            loss = self._adversarial_steps(self.adversary, batch, reconstructions, error, loss, logs)
            self.after_step(self.batch_images)
        if self.logs_this_iteration:
            revived = [codebook.take_revived() for codebook in self._codebooks()]
            logs |= {"codes_revived": torch.stack(revived).sum()} if revived else {}
        self.log_training(loss=loss, **logs)
        return loss

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
        strength = adversary.strength(self.images_before)
        logits = partial(discriminator_logits, self.discriminator, batch.labels)
        with self.stepping(0):
            if strength > 0:
                adversarial = adversary.loss.generator(None, logits(reconstructions))
                factor = torch.tensor(strength, dtype=torch.float32)
                if adversary.adaptive:
                    factor = strength * adaptive_weight(error, adversarial, reconstructions, self.decoder.last_weight)
                loss = loss + factor * adversarial
                logs |= {"adversarial": adversarial, "adversarial_weight": factor}
            self.manual_backward(loss)
        if self.images_before >= adversary.start:
            due = due_penalties(self.penalties, self.iteration)
            real, fake = batch.images, reconstructions.detach()
            with self.stepping(1):
                result = discriminator_loss(adversary.loss, (logits, logits), real, fake, due, self.iteration_rng())
                self.manual_backward(result.loss)
            logs |= {"loss_d": result.loss, **result.penalties}
            logs |= logit_statistics(result.real, result.fake, adversary.loss.boundary)
        return loss.detach()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the number of codes that were revived since they were last logged."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["codes_revived"] = [codebook.revived for codebook in self._codebooks()]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores these numbers."""
        super().on_load_checkpoint(checkpoint)
        for codebook, revived in zip(self._codebooks(), checkpoint.get("codes_revived", []), strict=False):
            codebook.revived.copy_(revived)

    def _codebooks(self) -> list[LearnedCodebook]:
        return [part for part in self.quantizer.modules() if isinstance(part, LearnedCodebook)]

    def configure_optimizers(self) -> list[Optimizer]:
        """Returns one optimizer over the autoencoder and, with an adversary, one over its discriminator."""
        optimizers = [self.optimizer([weight for part in self.trained_parts() for weight in part.parameters()])]
        if self.adversary is not None:
            optimizers.append(self.adversary.optimizer(trainable_parameters(self.discriminator)))
        return self.scheduled(*optimizers)
