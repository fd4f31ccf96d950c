"""The GAN (https://arxiv.org/abs/1406.2661): a generator and a discriminator, trained in turn."""

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_experiments import distributed, randomness
from gen_experiments.errors import UserError
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.base import AdversarialLoss, Penalty
from gen_experiments.models.base import (
    NOISE_STREAM,
    SAMPLE_STREAM,
    DiscriminatorFactory,
    GeneratorFactory,
    ImageModel,
    OptimizerFactory,
)
from gen_experiments.models.ema import EMA
from gen_experiments.schedules import Schedule


class GAN(ImageModel):
    """Alternates discriminator and generator steps under manual optimization.

    An iteration takes one batch, makes one discriminator step and, every `n_critic` iterations, one generator step.
    `global_step`, and so `trainer.max_steps`, counts iterations.

    Args:
        image: what the images are like; the command line links it from the data.
        generator: noise to images.
        discriminator: images to logits.
        loss: what the two minimise.
        optimizer_g: makes the generator's optimizer.
        optimizer_d: makes the discriminator's optimizer.
        penalties: terms on the discriminator's gradients, added to its loss.
        n_critic: discriminator steps per generator step.
        ema_half_life: half-life, in real images, of the generator's moving average, which is what is validated and
            sampled; 0 samples the raw weights.
        gradient_clip_norm: largest norm of either network's gradient; None for no clipping.
        lr_schedule: factor on both learning rates, as a function of images seen; None keeps them.

    Raises:
        UserError: n_critic is below 1 or the half-life is negative.
    """

    def __init__(
        self,
        image: ImageSpec,
        generator: GeneratorFactory,
        discriminator: DiscriminatorFactory,
        loss: AdversarialLoss,
        optimizer_g: OptimizerFactory,
        optimizer_d: OptimizerFactory,
        penalties: list[Penalty] | None = None,
        n_critic: int = 1,
        ema_half_life: float = 10_000.0,
        gradient_clip_norm: float | None = None,
        lr_schedule: Schedule | None = None,
    ) -> None:
        if n_critic < 1 or ema_half_life < 0:
            raise UserError(f"n_critic >= 1 and ema_half_life >= 0 are needed, not {n_critic} and {ema_half_life}")
        super().__init__(image, lr_schedule)
        self.automatic_optimization = False
        self.generator = generator(image)
        self.discriminator = discriminator(image)
        self.ema = EMA(self.generator)
        self.loss = loss
        self.penalties = nn.ModuleList(penalties or [])
        self.n_critic = n_critic
        self.ema_half_life = ema_half_life
        self.gradient_clip_norm = gradient_clip_norm
        self.optimizer_g = optimizer_g
        self.optimizer_d = optimizer_d
        self._loss_g: Tensor | None = None  # of the last generator step

    @property
    def num_classes(self) -> int | None:
        """How many labels images can be asked of, or None if the generator is not conditional."""
        return self.generator.num_classes

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) of the averaged generator from (B, latent_dim) noise."""
        images: Tensor = self.ema(noise, labels)
        return images

    def sample(
        self, first: int, count: int, seed: int = 0, labels: Tensor | None = None, truncation: float = 1.0
    ) -> Tensor:
        """Images `first` ... `first + count - 1` of the endless sequence that `seed` names.

        Each image depends on its number, the seed and its label alone, not on the batch, the device or the number of
        processes.

        Args:
            first: the number of the first image.
            count: how many images.
            seed: names the sequence.
            labels: (count,) int64, the classes to make; None draws them. Only for a conditional generator.
            truncation: factor in (0, 1] on the noise: smaller is more typical and less varied.

        Returns:
            (count, C, H, W) in [-1, 1].
        """
        noise, drawn = self.latents(first, count, seed)
        labels = drawn if labels is None else labels.to(self.device)
        images: Tensor = self(truncation * noise, labels)
        return images

    def latents(self, first: int, count: int, seed: int = 0) -> tuple[Tensor, Tensor | None]:
        """The noise (count, latent_dim) of those images and, for a conditional generator, their (count,) labels."""
        sources = [randomness.generator("cpu", SAMPLE_STREAM, seed, number) for number in range(first, first + count)]
        noise = torch.stack([torch.randn(self.generator.latent_dim, generator=source) for source in sources])
        classes = self.generator.num_classes
        if classes is None:
            return noise.to(self.device), None
        labels = torch.cat([torch.randint(classes, (1,), generator=source) for source in sources])
        return noise.to(self.device), labels.to(self.device)

    def setup(self, stage: str) -> None:
        """Lets DDP expect that each backward pass reaches only one of the two networks."""
        super().setup(stage)
        if isinstance(self.trainer.strategy, DDPStrategy):
            self.trainer.strategy._ddp_kwargs.setdefault("find_unused_parameters", True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One discriminator step and, every `n_critic` iterations, one generator step; logs the last loss of each."""
        iteration = self.global_step
        source = randomness.generator(self.device, randomness.run_seed(), NOISE_STREAM, iteration)
        loss_d = self._discriminator_step(batch, iteration, source)
        if (iteration + 1) % self.n_critic == 0:
            self._loss_g = self._generator_step(batch, source)
        self.log_training(loss_d=loss_d, **({} if self._loss_g is None else {"loss_g": self._loss_g}))
        return loss_d

    def _discriminator_step(self, batch: Batch, iteration: int, source: torch.Generator) -> Tensor:
        def discriminator(images: Tensor) -> Tensor:
            return self._logits(images, batch.labels)

        optimizer = self._optimizer(0)
        self.toggle_optimizer(optimizer)
        with torch.no_grad():
            fake = self._generate(batch, source)
        loss = self.loss.discriminator(discriminator(batch.images), discriminator(fake))
        for penalty in self.penalties:
            assert isinstance(penalty, Penalty)
            if iteration % penalty.every == 0:
                loss = loss + penalty(discriminator, batch.images, fake, source)
        self._backward(loss, optimizer)
        optimizer.step()
        self.untoggle_optimizer(optimizer)
        return loss.detach()

    def _generator_step(self, batch: Batch, source: torch.Generator) -> Tensor:
        optimizer = self._optimizer(1)
        self.toggle_optimizer(optimizer)
        real = self._logits(batch.images, batch.labels) if self.loss.paired else None
        loss = self.loss.generator(real, self._logits(self._generate(batch, source), batch.labels))
        self._backward(loss, optimizer)
        # Each `LightningOptimizer.step` advances `global_step`. The discriminator's has counted this iteration, so the
        # generator's goes to the strategy directly.
        self.trainer.strategy.optimizer_step(optimizer.optimizer, closure=lambda: None)
        self.untoggle_optimizer(optimizer)
        images = self.n_critic * batch.images.shape[0] * distributed.world_size()
        self.ema.update(self.generator, images, self.ema_half_life)
        return loss.detach()

    def _logits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """In float32: low precision rounds the losses of a confident discriminator to nothing."""
        logits: Tensor = self.discriminator(images, labels)
        return logits.float()

    def _generate(self, batch: Batch, source: torch.Generator) -> Tensor:
        noise = randomness.randn_rows(batch.images.shape[0], self.generator.latent_dim, source=source)
        fake: Tensor = self.generator(noise, batch.labels)
        return fake

    def _optimizer(self, number: int) -> LightningOptimizer:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        return optimizers[number]

    def _backward(self, loss: Tensor, optimizer: LightningOptimizer) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        if self.gradient_clip_norm is not None:
            self.clip_gradients(optimizer.optimizer, self.gradient_clip_norm, "norm")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: a generator is judged by its samples, not batch by batch."""

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing, likewise."""

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """As many samples as the batch has images, numbered on over batches and processes."""
        count = batch.images.shape[0]
        first = (batch_idx * distributed.world_size() + distributed.rank()) * count
        return self.sample(first, count)

    def on_validation_epoch_end(self) -> None:
        """Logs the images seen, the x-axis of the evaluation's curves."""
        self.log_images_seen()

    def configure_optimizers(self) -> list[Optimizer]:
        """The discriminator's optimizer, whose steps count as iterations, and the generator's."""
        return self.scheduled(
            self.optimizer_d(self.discriminator.parameters()), self.optimizer_g(self.generator.parameters())
        )
