"""The GAN (https://arxiv.org/abs/1406.2661): a generator and a discriminator, trained in turn."""

from collections.abc import Iterator, Sequence
from functools import partial

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
    DiscriminatorFactory,
    GeneratorFactory,
    OptimizerFactory,
)
from gen_experiments.models.ema import EMA
from gen_experiments.models.sampling import GenerativeModel
from gen_experiments.models.statistics import logit_statistics, norm
from gen_experiments.models.strength import AdaptiveStrength
from gen_experiments.networks.augment import Augmentation
from gen_experiments.schedules import Constant, Schedule


class GAN(GenerativeModel):
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
        penalties: terms on the discriminator's gradients, added to its loss. They are taken w.r.t. the images before
            augmentation, as R3GAN does (https://arxiv.org/abs/2501.05441).
        n_critic: discriminator steps per generator step.
        augmentation: what all images go through on their way to the discriminator; None for nothing.
        augmentation_strength: its strength p, as a function of images seen or adaptively.
        ema_half_life: half-life, in real images, of the generator's moving average, which is what is validated and
            sampled; 0 samples the raw weights. A number, or a function of images seen.
        gradient_clip_norm: largest norm of either network's gradient; None for no clipping.
        accumulate: parts into which a batch is cut, one after the other, to save memory; the step is that of the whole
            batch where no network has batch statistics.
        lr_schedule: factor on both learning rates, as a function of images seen; None keeps them.
        beta2_schedule: beta2 of both Adam optimizers, likewise.
        penalty_schedule: factor on the weights of all penalties, likewise.

    Raises:
        UserError: a number is out of range.
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
        augmentation: Augmentation | None = None,
        augmentation_strength: AdaptiveStrength | Schedule | None = None,
        ema_half_life: float | Schedule = 10_000.0,
        gradient_clip_norm: float | None = None,
        accumulate: int = 1,
        lr_schedule: Schedule | None = None,
        beta2_schedule: Schedule | None = None,
        penalty_schedule: Schedule | None = None,
    ) -> None:
        half_life = ema_half_life if isinstance(ema_half_life, Schedule) else Constant(ema_half_life)
        if n_critic < 1 or accumulate < 1 or half_life(0) < 0:
            raise UserError(
                "n_critic >= 1, accumulate >= 1 and ema_half_life >= 0 are needed, "
                f"not {n_critic}, {accumulate} and {half_life(0)}"
            )
        super().__init__(image, lr_schedule)
        self.automatic_optimization = False
        self.generator = generator(image)
        self.discriminator = discriminator(image)
        self.ema = EMA(self.generator)
        self.loss = loss
        self.penalties = nn.ModuleList(penalties or [])
        self.n_critic = n_critic
        self.augmentation = augmentation
        self.augmentation_strength = augmentation_strength or Constant(1.0)
        self.ema_half_life = half_life
        self.gradient_clip_norm = gradient_clip_norm
        self.accumulate = accumulate
        self.beta2_schedule = beta2_schedule
        self.penalty_schedule = penalty_schedule
        self.optimizer_g = optimizer_g
        self.optimizer_d = optimizer_d
        # What is logged: of each network what its last step came to.
        self._told: dict[str, Tensor | float] = {}

    @property
    def num_classes(self) -> int | None:
        """How many labels images can be asked of, or None if the generator is not conditional."""
        return self.generator.num_classes

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) of the averaged generator from (B, latent_dim) noise."""
        images: Tensor = self.ema(noise, labels)
        return images

    def generate(self, sources: Sequence[torch.Generator], labels: Tensor | None, truncation: float) -> Tensor:
        """An image of each source; see `sample`."""
        images: Tensor = self(truncation * self.noise(sources), labels)
        return images

    def noise(self, sources: Sequence[torch.Generator]) -> Tensor:
        """The noise of each source, (len(sources), latent_dim) on the model's device."""
        drawn = [torch.randn(self.generator.latent_dim, generator=source) for source in sources]
        return torch.stack(drawn).to(self.device)

    def setup(self, stage: str) -> None:
        """Lets DDP expect that each backward pass reaches only one of the two networks."""
        super().setup(stage)
        if isinstance(self.trainer.strategy, DDPStrategy):
            self.trainer.strategy._ddp_kwargs.setdefault("find_unused_parameters", True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One discriminator step and, every `n_critic` iterations, one generator step; logs the last of each."""
        iteration = self.global_step
        source = randomness.generator(self.device, randomness.run_seed(), NOISE_STREAM, iteration)
        self._follow_schedules()
        loss_d = self._discriminator_step(batch, iteration, source)
        if (iteration + 1) % self.n_critic == 0:
            self._generator_step(batch, source)
        self.log_training(**self._told)
        return loss_d

    def _follow_schedules(self) -> None:
        if self.beta2_schedule is not None:
            self._told["beta2"] = beta2 = self.beta2_schedule(self.images_seen)
            for optimizer in self._optimizer(0), self._optimizer(1):
                for group in optimizer.param_groups:
                    group["betas"] = group["betas"][0], beta2
        if self.penalty_schedule is not None:
            self._told["penalty_factor"] = self.penalty_schedule(self.images_seen)
        if self.augmentation is not None:
            self._told["augmentation"] = self._strength()

    def _discriminator_step(self, batch: Batch, iteration: int, source: torch.Generator) -> Tensor:
        optimizer = self._optimizer(0)
        self.toggle_optimizer(optimizer)
        optimizer.zero_grad()
        reals, fakes, losses = [], [], []
        for images, labels, noise in self._parts(batch, source):
            discriminator = partial(self._logits, labels=labels, source=source)
            with torch.no_grad():
                generated: Tensor = self.generator(noise, labels)
            real, fake = discriminator(images), discriminator(generated)
            loss = self.loss.discriminator(real, fake)
            for penalty in self._due_penalties(iteration):
                value = self._told.get("penalty_factor", 1.0) * penalty(discriminator, images, generated, source)
                self._told[f"penalty_{type(penalty).__name__.lower()}"] = value.detach()
                loss = loss + value
            self.manual_backward(loss / self.accumulate)
            reals.append(real.detach())
            fakes.append(fake.detach())
            losses.append(loss.detach())
        self._clip(optimizer, "d", self.discriminator)
        optimizer.step()
        self.untoggle_optimizer(optimizer)
        if isinstance(self.augmentation_strength, AdaptiveStrength):
            self.augmentation_strength.update(torch.cat(reals), iteration)
        if self.logs_this_iteration:
            self._told.update(logit_statistics(torch.cat(reals), torch.cat(fakes)))
        self._told["loss_d"] = total = torch.stack(losses).mean()
        return total

    def _due_penalties(self, iteration: int) -> list[Penalty]:
        return [p for p in self.penalties if isinstance(p, Penalty) and iteration % p.every == 0]

    def _generator_step(self, batch: Batch, source: torch.Generator) -> None:
        optimizer = self._optimizer(1)
        self.toggle_optimizer(optimizer)
        optimizer.zero_grad()
        losses = []
        for images, labels, noise in self._parts(batch, source):
            discriminator = partial(self._logits, labels=labels, source=source)
            real = discriminator(images) if self.loss.paired else None
            loss = self.loss.generator(real, discriminator(self.generator(noise, labels)))
            self.manual_backward(loss / self.accumulate)
            losses.append(loss.detach())
        self._clip(optimizer, "g", self.generator)
        # Each `LightningOptimizer.step` advances `global_step`. The discriminator's has counted this iteration, so the
        # generator's goes to the strategy directly.
        self.trainer.strategy.optimizer_step(optimizer.optimizer, closure=lambda: None)
        self.untoggle_optimizer(optimizer)
        images_between = self.n_critic * batch.images.shape[0] * distributed.world_size()
        self.ema.update(self.generator, images_between, self.ema_half_life(self.images_seen))
        self._told["loss_g"] = torch.stack(losses).mean()

    def _parts(self, batch: Batch, source: torch.Generator) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
        """Images, labels and noise of each of the equal parts of a batch; the noise is drawn for the whole of it."""
        if batch.images.shape[0] % self.accumulate:
            raise UserError(
                f"model.accumulate={self.accumulate} must divide the {batch.images.shape[0]} images of a device's batch"
            )
        noise = randomness.randn_rows(batch.images.shape[0], self.generator.latent_dim, source=source)
        labels = [None] * self.accumulate if batch.labels is None else batch.labels.tensor_split(self.accumulate)
        images = batch.images.tensor_split(self.accumulate)
        yield from zip(images, labels, noise.tensor_split(self.accumulate), strict=True)

    def _logits(self, images: Tensor, labels: Tensor | None, source: torch.Generator) -> Tensor:
        """In float32: low precision rounds the losses of a confident discriminator to nothing."""
        if self.augmentation is not None:
            images = self.augmentation(images, self._strength(), source)
        logits: Tensor = self.discriminator(images, labels)
        return logits.float()

    def _strength(self) -> float | Tensor:
        strength = self.augmentation_strength
        return strength.p if isinstance(strength, AdaptiveStrength) else strength(self.images_seen)

    def _optimizer(self, number: int) -> LightningOptimizer:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        return optimizers[number]

    def _clip(self, optimizer: LightningOptimizer, which: str, network: nn.Module) -> None:
        if self.logs_this_iteration:
            self._told[f"gradient_norm_{which}"] = norm(weight.grad for weight in network.parameters())
            self._told[f"weight_norm_{which}"] = norm(network.parameters())
        if self.gradient_clip_norm is not None:
            self.clip_gradients(optimizer.optimizer, self.gradient_clip_norm, "norm")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: a generator is judged by its samples, not batch by batch."""

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing, likewise."""

    def configure_optimizers(self) -> list[Optimizer]:
        """The discriminator's optimizer, whose steps count as iterations, and the generator's.

        Raises:
            UserError: a schedule of beta2 for an optimizer that has none.
        """
        optimizers = (
            self.optimizer_d(self.discriminator.parameters()),
            self.optimizer_g(self.generator.parameters()),
        )
        if self.beta2_schedule is not None and any("betas" not in optimizer.defaults for optimizer in optimizers):
            raise UserError("model.beta2_schedule needs optimizers with betas, such as torch.optim.Adam")
        return self.scheduled(*optimizers)
