"""The training of models that turn pictures into others: generators and discriminators in turn, and averages."""

import copy
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_experiments.contracts import require_scalar
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.base import AdversarialLoss, ImagesToLogits, Penalty
from gen_experiments.models.augmented import Augmented
from gen_experiments.models.averaged_translator import AveragedTranslator
from gen_experiments.models.strength import AdaptiveStrength
from gen_experiments.networks.augment import Augmentation
from gen_experiments.precision import at_least_float32
from gen_experiments.schedules import Schedule
from gen_experiments.training.data_checks import require_pairs, require_source_images
from gen_experiments.training.discriminator_loss import (
    discriminator_loss,
    due_penalties,
    logit_statistics,
    require_first_order,
)
from gen_experiments.training.ema import EMA, half_life_schedule
from gen_experiments.training.optimizers import OptimizerFactory, trainable_parameters

GENERATORS, DISCRIMINATORS = 0, 1  # the optimizers; the steps of the first count as iterations


@dataclass(frozen=True)
class DiscriminatorInputs:
    """What a discriminator sees in an iteration.

    Attributes:
        logits: the discriminator's logits of images.
        real: (B, C, H, W) real images.
        fake: (B, C, H, W) translations, with gradients.
        fake_to_learn_from: the translations that the discriminator learns from, without gradients; by default `fake`.
        condition: (B, C, H, W) images that it sees with both kinds, in additional first channels; None for none.
    """

    logits: ImagesToLogits
    real: Tensor
    fake: Tensor
    fake_to_learn_from: Tensor | None = None
    condition: Tensor | None = None


class TranslationModel(AveragedTranslator):
    """The base of models that turn `source_images` into pictures like the `images`, under manual optimization.

    A subclass builds `generators`, one for each of its `directions`, and `discriminators`, and calls `add_networks`.
    Its `training_step` calls `discriminator_step` and `generator_step` with the inputs of the discriminators, and then
    `end_iteration`. `global_step` counts iterations.

    Args:
        image: what the images are like; the command line links it from the data.
        loss: what discriminators and generators minimise against each other.
        optimizer_g: makes the optimizer of all generators.
        optimizer_d: makes the optimizer of all discriminators.
        penalties: terms on the discriminators, added to their losses; each discriminator has copies of its own, and
            gradients are w.r.t. pictures and their translations, not w.r.t. a source beside them.
        ema_half_life: half-life, in real images, of the generators' moving averages, which are validated and used; 0
            uses the raw weights, as the papers do. A number is warmed up, a schedule is taken unchanged.
        lr_schedule: factor on both learning rates, as a function of images seen; None keeps them.
        augmentation: the augmentation of all pictures that the discriminators see; None for none. In an iteration an
            image has the same draws for all discriminators and, where one also sees the source, for both pictures.
        augmentation_strength: its p: a number, a function of images seen, or adaptive.
        compile: whether to compile the generators: of each, the modules in `networks_called`.
        compile_discriminator: whether to compile the discriminators, which then allow no penalty on their gradients.

    Attributes:
        needs_pairs: whether the training compares a translation with the image beside it.
    """

    trainer_alternatives: ClassVar[dict[str, str]] = {"accumulate_grad_batches": "set data.batch_size instead"}
    needs_pairs: ClassVar[bool] = True

    generators: nn.ModuleList
    discriminators: nn.ModuleList

    def __init__(
        self,
        image: ImageSpec,
        loss: AdversarialLoss,
        optimizer_g: OptimizerFactory,
        optimizer_d: OptimizerFactory,
        penalties: list[Penalty] | None = None,
        ema_half_life: float | Schedule = 10_000.0,
        lr_schedule: Schedule | None = None,
        augmentation: Augmentation | None = None,
        augmentation_strength: float | Schedule | AdaptiveStrength = 1.0,
        compile: bool = False,
        compile_discriminator: bool = False,
    ) -> None:
        augment = Augmented(augmentation, augmentation_strength, loss)
        half_life = half_life_schedule(ema_half_life)
        super().__init__(image, lr_schedule)
        self.automatic_optimization = False
        self.loss, self.optimizer_g, self.optimizer_d = loss, optimizer_g, optimizer_d
        self.penalties = nn.ModuleList(penalties or [])
        self.augment = augment
        self._half_life = half_life
        self._compile, self._compile_discriminator = compile, compile_discriminator
        self._draws_of_steps: tuple[Tensor | None, Tensor | None] = (None, None)  # of the augmentation, this iteration
        self._real_logits: list[Tensor] = []  # of each discriminator, this iteration

    def add_networks(self, generators: Iterable[nn.Module], discriminators: Iterable[nn.Module]) -> None:
        """Registers one generator for each direction and any number of discriminators, and makes the averages.

        Raises:
            UserError: compiled discriminators get a penalty on their gradients.
        """
        self.generators, self.discriminators = nn.ModuleList(generators), nn.ModuleList(discriminators)
        self.averages = nn.ModuleList(EMA(generator) for generator in self.generators)
        # In the order of the discriminators; a penalty may have a state, such as LeCam's averages of the logits.
        self.penalties = nn.ModuleList(
            copy.deepcopy(penalty) for _ in self.discriminators for penalty in self.penalties
        )
        compiled: list[nn.Module] = []
        if self._compile:
            compiled += [network for generator in self.generators for network in self.networks_called(generator)]
        if self._compile_discriminator:
            require_first_order(part for part in self.penalties if isinstance(part, Penalty))
            compiled += self.discriminators
        self.compile_in_training(*compiled)

    def averaged_parts(self) -> list[tuple[EMA, nn.Module]]:
        """Returns the averages of the generators, each with its generator."""
        return list(zip(self.averages, self.generators, strict=True))  # type: ignore[arg-type]

    def networks_called(self, generator: nn.Module) -> Iterable[nn.Module]:
        """Returns the modules of a generator that the training calls and that can be compiled."""
        return [generator]

    def setup(self, stage: str) -> None:
        """Also refuses data without sources.

        Raises:
            UserError: the data hold single images, or no pairs for a model that needs pairs.
        """
        require_source_images(self)
        if stage == "fit":
            self.augment.warn_of_no_effect()
            if self.needs_pairs:
                require_pairs(self)
        super().setup(stage)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Also sets the augmentation's strength and draws."""
        self.augment.set_strength(self.images_seen)
        self._draws_of_steps = self.augment.draws(len(batch.images), self.device, self.global_step)
        super().on_train_batch_start(batch, batch_idx)

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Steps generators and discriminators, and returns the generators' loss."""

    def discriminator_step(
        self, inputs_of: Mapping[str, DiscriminatorInputs], rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Steps the discriminators by the sum of their losses; returns the values to log.

        Args:
            inputs_of: one for each discriminator, in their order, by the end of its logged names, such as "_b".
            rng: for the penalties.
        """
        count = len(self.penalties) // len(self.discriminators)
        logs: dict[str, Tensor] = {}
        with self.stepping(DISCRIMINATORS):
            total = torch.zeros((), device=self.device)
            for number, (name, inputs) in enumerate(inputs_of.items()):
                fake = (inputs.fake if inputs.fake_to_learn_from is None else inputs.fake_to_learn_from).detach()
                due = due_penalties(self.penalties[number * count : (number + 1) * count], self.iteration)
                logits = self._augmented_logits(inputs, self._draws_of_steps[0])
                result = discriminator_loss(self.loss, logits, inputs.real, fake, due, rng)
                self._real_logits.append(result.real.detach().reshape(len(fake), -1))
                total = total + result.loss
                values = {"loss_d": result.loss.detach(), **result.penalties}
                if self.logs_this_iteration:
                    values |= logit_statistics(result.real.detach(), result.fake.detach(), self.loss.boundary)
                logs |= {f"{key}{name}": value for key, value in values.items()}
            self.manual_backward(total)
        return logs

    def generator_step(
        self, inputs_of: Mapping[str, DiscriminatorInputs], terms: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Steps the generators by the sum of adversarial losses and `terms`; returns each of them for the logs."""
        with self.stepping(GENERATORS):
            values = {}
            for name, inputs in inputs_of.items():
                logits_of_real, logits_of_fake = self._augmented_logits(inputs, self._draws_of_steps[1])
                real = logits_of_real(inputs.real) if self.loss.paired else None
                values[f"adversarial{name}"] = self.loss.generator(real, logits_of_fake(inputs.fake))
            values |= terms
            for name, value in values.items():
                require_scalar(value, f"the loss {name}")
            loss = torch.stack([at_least_float32(value) for value in values.values()]).sum()
            self.manual_backward(loss)
        return {"loss_g": loss.detach(), **{name: value.detach() for name, value in values.items()}}

    def end_iteration(self, batch: Batch, logs: Mapping[str, Tensor]) -> Tensor:
        """Updates the averages, logs, updates an adaptive strength, and returns the generators' loss."""
        half_life = self._half_life(self.images_before)
        for average, generator in self.averaged_parts():
            average.update(generator, self.batch_images, half_life)
        self.log_training(**logs, ema_half_life=half_life, **self.augment.logs())
        if self._real_logits:
            self.augment.update(torch.cat(self._real_logits, dim=1), self.iteration)
            self._real_logits.clear()
        return logs["loss_g"]

    def _augmented_logits(
        self, inputs: DiscriminatorInputs, draws: Tensor | None
    ) -> tuple[ImagesToLogits, ImagesToLogits]:
        """Returns the logits of real and of generated images, augmented by (B, 2, draws) random numbers."""

        def logits(draws: Tensor | None, images: Tensor) -> Tensor:
            seen = self.augment(images, draws)
            if inputs.condition is not None:
                # By the same numbers, so that both still belong together; one at a time, as means over channels must
                # be those of one picture.
                condition = self.augment(inputs.condition.to(images.dtype), draws)
                seen = torch.cat([condition, seen], dim=1)
            return inputs.logits(seen)

        of_real, of_fake = (None, None) if draws is None else draws.unbind(1)
        return partial(logits, of_real), partial(logits, of_fake)

    def configure_optimizers(self) -> list[Optimizer]:
        """Returns the optimizers of the generators, whose steps count as iterations, and of the discriminators."""
        return self.scheduled(
            self.optimizer_g(self.generators.parameters()), self.optimizer_d(trainable_parameters(self.discriminators))
        )
