"""The GAN (https://arxiv.org/abs/1406.2661): a generator and a discriminator, trained in turn."""

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_experiments import distributed, randomness
from gen_experiments.contracts import require_attributes, require_scalar, require_shape
from gen_experiments.errors import check_interval
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.base import AdversarialLoss, ImagesToLogits, Penalty
from gen_experiments.models.augmented import Augmented
from gen_experiments.models.averaged_generator import AveragedGenerator
from gen_experiments.models.strength import AdaptiveStrength
from gen_experiments.networks.augment import Augmentation
from gen_experiments.networks.base import DiscriminatorFactory, GeneratorFactory
from gen_experiments.networks.conditioning import check_labels_of_pair
from gen_experiments.schedules import Schedule, check_schedules
from gen_experiments.training.discriminator_loss import (
    DiscriminatorLoss,
    discriminator_logits,
    discriminator_loss,
    due_penalties,
    logit_statistics,
    require_first_order,
)
from gen_experiments.training.ema import EMA, half_life_schedule
from gen_experiments.training.micro_batches import MicroBatch, split
from gen_experiments.training.optimizers import OptimizerFactory, clip, norm, set_beta2, trainable_parameters


class GAN(AveragedGenerator):
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
        penalties: terms on the discriminator, added to its loss; their gradients are w.r.t. images before augmentation.
        n_critic: discriminator steps per generator step.
        augmentation: the augmentation of all images that the discriminator sees; None for none.
        augmentation_strength: its p: a number, a function of images seen, or adaptive.
        ema_half_life: half-life, in real images, of the generator's moving average, which is validated and sampled; 0
            samples the raw weights. A number is warmed up (`training.ema.half_life_schedule`), a schedule is taken
            unchanged.
        gradient_clip_norm: largest norm of either network's gradient; None for no clipping.
        accumulate: micro-batches into which a batch is split to save memory. The step is that of the whole batch, but
            for what each pass updates: batch norm, the estimates of spectral norm, the averages of `LeCam`.
        lr_schedule: factor on both learning rates, as a function of images seen; None keeps them.
        beta2_schedule: beta2 of both Adam optimizers, as a function of images seen; None keeps it.
        penalty_schedule: factor on the weights of all penalties, as a function of images seen; None keeps them.
        compile: whether to compile the generator.
        compile_discriminator: whether to compile the discriminator, which then allows no penalty on its gradients.
        channels_last: whether convolutions compute with channels last: faster on GPUs in low precision.

    Raises:
        UserError: a number is out of range, the loss allows no adaptive strength, or a compiled discriminator gets a
            penalty on its gradients.
    """

    trainer_alternatives: ClassVar[dict[str, str]] = {
        "accumulate_grad_batches": "set data.batch_size and model.accumulate instead",
        "gradient_clip_val": "set model.gradient_clip_norm instead",
    }
    scores_batches: ClassVar[bool] = False

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
        augmentation_strength: float | Schedule | AdaptiveStrength = 1.0,
        ema_half_life: float | Schedule = 10_000.0,
        gradient_clip_norm: float | None = None,
        accumulate: int = 1,
        lr_schedule: Schedule | None = None,
        beta2_schedule: Schedule | None = None,
        penalty_schedule: Schedule | None = None,
        compile: bool = False,
        compile_discriminator: bool = False,
        channels_last: bool = False,
    ) -> None:
        half_life = half_life_schedule(ema_half_life)
        check_interval("[1, inf)", n_critic=n_critic, accumulate=accumulate)
        check_schedules("[0, 1)", beta2_schedule=beta2_schedule)
        check_schedules("[0, inf)", penalty_schedule=penalty_schedule)
        if gradient_clip_norm is not None:
            check_interval("(0, inf)", gradient_clip_norm=gradient_clip_norm)
        super().__init__(image, lr_schedule)
        self.automatic_optimization = False
        self.generator = generator(image)
        require_attributes(self.generator, "latent_dim")
        self.discriminator = discriminator(image)
        if channels_last:
            for network in self.generator, self.discriminator:
                network.to(memory_format=torch.channels_last)
        self.ema = EMA(self.generator)
        if compile_discriminator:
            require_first_order(penalties or [])
        chosen = ((self.generator, compile), (self.discriminator, compile_discriminator))
        self.compile_in_training(*(network for network, compiled in chosen if compiled))
        self.loss = loss
        self.penalties = nn.ModuleList(penalties or [])
        self.n_critic = n_critic
        self.augment = Augmented(augmentation, augmentation_strength, loss)
        self.gradient_clip_norm, self.accumulate = gradient_clip_norm, accumulate
        self.optimizer_g, self.optimizer_d = optimizer_g, optimizer_d
        schedules = {"ema_half_life": half_life, "beta2": beta2_schedule, "penalty_factor": penalty_schedule}
        self._schedules = {name: schedule for name, schedule in schedules.items() if schedule is not None}
        self._scheduled_values: dict[str, float] = {}  # of this iteration
        self._logs: dict[str, Tensor] = {}  # of the last step of each network

    def averaged_parts(self) -> list[tuple[EMA, nn.Module]]:
        """Returns the average of the generator, with the generator."""
        return [(self.ema, self.generator)]

    def setup(self, stage: str) -> None:
        """Also compares what the two networks know of labels; see `check_labels_of_pair`."""
        if stage == "fit":
            check_labels_of_pair(self.generator, self.discriminator)
            self.augment.warn_of_no_effect()
            if "penalty_factor" in self._schedules and not self.penalties:
                distributed.warn_once("penalty_schedule has no effect without penalties: set some, such as R1")
        super().setup(stage)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Also sets the scheduled values, at the images seen before this batch."""
        self._scheduled_values = {name: schedule(self.images_seen) for name, schedule in self._schedules.items()}
        self.augment.set_strength(self.images_seen)
        if "beta2" in self._scheduled_values:
            set_beta2([optimizer for optimizer, _ in self._scheduled], self._scheduled_values["beta2"])
        super().on_train_batch_start(batch, batch_idx)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Makes one discriminator step and, every `n_critic` iterations, one generator step; logs the last of each."""
        iteration = self.iteration
        rng = self.iteration_rng()
        draws_d, draws_g = self.augment.draws(len(batch.images), self.device, iteration)
        real = self._discriminator_step(self._micro_batches(batch, rng, draws_d), iteration, rng)
        if (iteration + 1) % self.n_critic == 0:
            self._generator_step(self._micro_batches(batch, rng, draws_g))
            self.ema.update(self.generator, self.n_critic * self.batch_images, self._scheduled_values["ema_half_life"])
        if self.logs_this_iteration:
            rates = {f"lr_{which}": self.own_optimizer(n).param_groups[0]["lr"] for n, which in enumerate("dg")}
            self.log_training(**self._logs, **self._scheduled_values, **rates, **self.augment.logs())
        self.augment.update(real, iteration)
        return self._logs["loss_d"]

    def _micro_batches(self, batch: Batch, rng: torch.Generator, draws: Tensor | None) -> list[MicroBatch]:
        """Returns the micro-batches of a batch; their noise is drawn for the whole of it."""
        noise = randomness.randn_rows(len(batch.images), self.generator.latent_dim, rng=rng)
        return split(batch, noise, draws, self.accumulate)

    def _discriminator_step(self, micro_batches: list[MicroBatch], iteration: int, rng: torch.Generator) -> Tensor:
        """Steps the discriminator and returns its logits of the real images."""
        parts: list[DiscriminatorLoss] = []
        with self.stepping(0):
            for number, micro_batch in enumerate(micro_batches):
                with torch.no_grad():
                    generated: Tensor = self.generator(micro_batch.noise, micro_batch.labels)
                require_shape(
                    generated, tuple(micro_batch.images.shape), f"the result of {type(self.generator).__name__}.forward"
                )
                # Penalties see the images through the same augmentation, and their gradients are w.r.t. what goes into
                # it: ∇ₓD(T(x)), as in R3GAN (https://arxiv.org/abs/2501.05441).
                logits = self._augmented_logits(micro_batch)
                due = due_penalties(self.penalties, iteration)
                factor = self._scheduled_values.get("penalty_factor", 1.0)
                with randomness.rows_of_part(number, len(micro_batches), rng):
                    part = discriminator_loss(self.loss, logits, micro_batch.images, generated, due, rng, factor)
                self.manual_backward(part.loss / len(micro_batches))
                parts.append(part.detached())
            for name in parts[0].penalties:
                self._logs[name] = torch.stack([part.penalties[name] for part in parts]).mean()
            reals, fakes = torch.cat([part.real for part in parts]), torch.cat([part.fake for part in parts])
            self._logs["loss_d"] = torch.stack([part.loss for part in parts]).mean()
            if self.logs_this_iteration:
                self._logs.update(logit_statistics(reals, fakes, self.loss.boundary))
            self._clip(self.discriminator, "d")
        return reals

    def _generator_step(self, micro_batches: list[MicroBatch]) -> None:
        losses = []
        with self.stepping(1):
            for micro_batch in micro_batches:
                logits_of_real, logits_of_fake = self._augmented_logits(micro_batch)
                real = logits_of_real(micro_batch.images) if self.loss.paired else None
                generated = self.generator(micro_batch.noise, micro_batch.labels)
                loss = self.loss.generator(real, logits_of_fake(generated))
                require_scalar(loss, f"the result of {type(self.loss).__name__}.generator")
                self.manual_backward(loss / len(micro_batches))
                losses.append(loss.detach())
            self._logs["loss_g"] = torch.stack(losses).mean()
            self._clip(self.generator, "g")

    def _augmented_logits(self, micro_batch: MicroBatch) -> tuple[ImagesToLogits, ImagesToLogits]:
        """Returns the logits of real and of generated images, each augmented by its own random numbers."""

        def logits(draws: Tensor | None, images: Tensor) -> Tensor:
            return discriminator_logits(self.discriminator, micro_batch.labels, self.augment(images, draws))

        of_real, of_fake = (None, None) if micro_batch.draws is None else micro_batch.draws.unbind(1)
        return partial(logits, of_real), partial(logits, of_fake)

    def _clip(self, network: nn.Module, which: str) -> None:
        """Clips the gradient; logs its norm before the clipping."""
        if not self.logs_this_iteration and self.gradient_clip_norm is None:
            return
        gradient = clip(network, self.gradient_clip_norm, self.trainer)
        if self.logs_this_iteration:
            self._logs |= {
                f"gradient_norm_{which}": gradient,
                f"weight_norm_{which}": norm(trainable_parameters(network)),
            }

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Does nothing: a generator is scored by its samples, not by batches."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the last logged values, which the curves repeat until the next step that computes them."""
        super().on_save_checkpoint(checkpoint)
        # Over all processes, as every process will go on from them.
        checkpoint["logged"] = distributed.means(self._logs, self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the last logged values."""
        super().on_load_checkpoint(checkpoint)
        self._logs = dict(checkpoint.get("logged", {}))

    def configure_optimizers(self) -> list[Optimizer]:
        """Returns the discriminator's optimizer, whose steps count as iterations, and the generator's."""
        return self.scheduled(
            self.optimizer_d(trainable_parameters(self.discriminator)), self.optimizer_g(self.generator.parameters())
        )
