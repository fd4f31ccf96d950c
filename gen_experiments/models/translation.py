"""What models that turn pictures into others share: adversaries that step in turn, averages, directions, validation."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.functions import PureFunction
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.base import AdversarialLoss, Penalty
from gen_experiments.metrics.means import ImageMeans
from gen_experiments.models.base import NOISE_STREAM, ImageModel, OptimizerFactory, global_size
from gen_experiments.models.ema import EMA, half_life_schedule
from gen_experiments.models.judging import Bout, due_penalties, judged
from gen_experiments.models.optimizers import trained
from gen_experiments.models.pairs import require_pairs
from gen_experiments.models.statistics import logit_statistics
from gen_experiments.networks.base import Translator
from gen_experiments.precision import at_least_float32
from gen_experiments.schedules import Schedule

TranslatorFactory = Callable[[ImageSpec], Translator]
GENERATORS, DISCRIMINATORS = 0, 1  # the optimizers, of which the first's steps count as iterations


class TranslationModel(ImageModel):
    """The base of models that turn a batch's `sources` into pictures like its `images`, under manual optimization.

    A subclass builds `generators`, one for each of its `directions`, and `discriminators`, calls `finish_building` and
    says in `training_step` which bouts they fight (`discriminator_step`) and what the generators minimise
    (`generator_step`). `global_step` counts iterations.

    Args:
        image: what the images are like; the command line links it from the data.
        loss: what discriminators and generators minimise against each other.
        optimizer_g: makes the optimizer of all generators.
        optimizer_d: makes that of all discriminators.
        penalties: terms on the discriminators, added to their losses.
        ema_half_life: half-life, in real images, of the generators' moving averages, which are what is validated and
            used; 0 uses the raw weights. A number is warmed up, a schedule is taken as it is.
        lr_schedule: factor on both learning rates, as a function of images seen; None keeps them.

    Attributes:
        directions: the sides that pictures can be turned into, the one that is validated first.
        needs_pairs: whether the training compares a translation with the image beside it.
    """

    instead_of: ClassVar[dict[str, str]] = {"accumulate_grad_batches": "set data.batch_size instead"}
    score_without_fid: ClassVar[tuple[str, str] | None] = ("val/psnr", "max")
    directions: ClassVar[tuple[str, ...]] = ("B",)
    needs_pairs: ClassVar[bool] = True
    means: ClassVar[tuple[str, ...]] = ()  # further names of what `evaluated` returns

    generators: nn.ModuleList
    discriminators: nn.ModuleList

    def __init__(
        self,
        image: ImageSpec,
        loss: AdversarialLoss,
        optimizer_g: OptimizerFactory,
        optimizer_d: OptimizerFactory,
        penalties: list[Penalty] | None,
        ema_half_life: float | Schedule,
        lr_schedule: Schedule | None,
    ) -> None:
        half_life = half_life_schedule(ema_half_life)
        super().__init__(image, lr_schedule)
        self.automatic_optimization = False
        self.loss, self.optimizer_g, self.optimizer_d = loss, optimizer_g, optimizer_d
        self.penalties = nn.ModuleList(penalties or [])
        self._half_life = half_life
        self._means = ImageMeans(*self.means) if self.means else None

    def finish_building(self, generators: Iterable[nn.Module], discriminators: Iterable[nn.Module]) -> None:
        """Takes the networks, a generator for each direction, and begins the averages."""
        self.generators, self.discriminators = nn.ModuleList(generators), nn.ModuleList(discriminators)
        self.averages = nn.ModuleList(EMA(generator) for generator in self.generators)

    def setup(self, stage: str) -> None:
        """Refuses data without what is to be translated, beside what every model does.

        Raises:
            UserError: the data holds single images, or a model that needs pairs gets others.
        """
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not getattr(data, "has_sources", True):
            raise UserError(
                f"{type(self).__name__} turns pictures into others: choose a source of pairs, such as PairedFolders, "
                "or damage the images by data.damage"
            )
        if stage == "fit" and self.needs_pairs:
            require_pairs(self)
        super().setup(stage)

    def forward(self, images: Tensor) -> Tensor:
        """Turns (B, C, H, W) images in [-1, 1] into the first direction, by the averaged generator."""
        return self.translate(images)

    def translate(self, images: Tensor, to: str | None = None) -> Tensor:
        """Turns (B, C, H, W) images in [-1, 1] into the side `to`, the first direction by default; same shape.

        Raises:
            UserError: the model has no such direction.
        """
        translations: Tensor = self.averages[self.place_of(to)](images)
        return at_least_float32(translations)

    def place_of(self, to: str | None) -> int:
        """Returns the place of a side among the directions, that of the first for None.

        Raises:
            UserError: the model has no such direction.
        """
        return place_among(self.directions, to, type(self).__name__)

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns `to_b` and so on, one for each direction: (B, C, H, W) images in [-1, 1] -> the same shape.

        They are the averaged generators, as `translate` has them.
        """
        images = 2 * torch.rand(3, *self.image.shape, generator=torch.Generator().manual_seed(0)) - 1
        return {
            f"to_{side.lower()}": PureFunction(average, (average,), {"images": images}, ("translations",))
            for side, average in zip(self.directions, self.averages, strict=True)
        }

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Fights the bouts of a batch and returns the generators' loss."""

    def draws(self) -> torch.Generator:
        """Returns the source of an iteration's random numbers, the same on all processes."""
        return randomness.generator(self.device, randomness.run_seed(), NOISE_STREAM, self.global_step)

    def discriminator_step(self, bouts: Mapping[str, Bout], source: torch.Generator) -> dict[str, Tensor]:
        """Steps the discriminators by the sum of their losses; returns what is logged, named after the bouts."""
        logs: dict[str, Tensor] = {}
        with self.stepping(DISCRIMINATORS):
            total = torch.zeros((), device=self.device)
            for name, bout in bouts.items():
                shown = (bout.made if bout.shown is None else bout.shown).detach()
                due = due_penalties(self.penalties, self.global_step)
                found = judged(self.loss, [bout.logits] * 2, bout.real, shown, due, source)
                total = total + found.loss
                values = {"loss_d": found.loss.detach(), **found.penalties}
                if self.logs_this_iteration:
                    values |= logit_statistics(found.real.detach(), found.fake.detach(), self.loss.boundary)
                logs |= {f"{key}{name}": value for key, value in values.items()}
            self.manual_backward(total)
        return logs

    def generator_step(self, bouts: Mapping[str, Bout], terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Steps the generators by the sum of what the bouts cost them and of `terms`; returns each, for the logs."""
        with self.stepping(GENERATORS):
            values = {}
            for name, bout in bouts.items():
                real = bout.logits(bout.real) if self.loss.paired else None
                values[f"adversarial{name}"] = self.loss.generator(real, bout.logits(bout.made))
            values |= terms
            loss = torch.stack([value.float() for value in values.values()]).sum()
            self.manual_backward(loss)
        return {"loss_g": loss.detach(), **{name: value.detach() for name, value in values.items()}}

    def end_iteration(self, batch: Batch, logs: Mapping[str, Tensor]) -> Tensor:
        """Moves the averages, logs, and returns the generators' loss."""
        half_life = self._half_life(self.images_seen - global_size(batch))
        for average, generator in zip(self.averages, self.generators, strict=True):
            average.update(generator, global_size(batch), half_life)  # type: ignore[operator]
        self.log_training(**logs, ema_half_life=half_life)
        return logs["loss_g"]

    def logits(self, discriminator: nn.Module, images: Tensor) -> Tensor:
        """Returns a discriminator's logits (B,) or (B, n), at least in float32: losses would be rounded to 0."""
        logits: Tensor = discriminator(images)
        return at_least_float32(logits)

    def evaluated(self, sources: Tensor, batch: Batch, translations: Tensor) -> dict[str, Tensor]:
        """Returns the scalars that `means` names, of a batch that is evaluated."""
        return {}

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Gives the translations of a batch to the callbacks."""
        return self._evaluation_step(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The same on the test split."""
        return self._evaluation_step(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the translations of a batch."""
        return self.translate(sources_of(batch))

    def _evaluation_step(self, batch: Batch) -> dict[str, Tensor]:
        sources = sources_of(batch)
        translations = self.translate(sources)
        if self._means is not None:
            self._means.update(len(sources), **self.evaluated(sources, batch, translations))
        return {"translations": translations}

    def on_validation_epoch_end(self) -> None:
        """Logs the means and the images seen."""
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        """The same on the test split."""
        self._log_evaluation("test")

    def _log_evaluation(self, stage: str) -> None:
        if self._means is not None:
            self.log_dict({f"{stage}/{name}": value for name, value in self._means.compute(self.device).items()})
        self.log_images_seen()

    def configure_optimizers(self) -> list[Optimizer]:
        """Returns the optimizers of the generators, whose steps count as iterations, and of the discriminators."""
        return self.scheduled(
            self.optimizer_g(self.generators.parameters()), self.optimizer_d(trained(self.discriminators))
        )


def place_among(directions: Sequence[str], to: str | None, name: str) -> int:
    """Returns the place of a side among the directions of a model of that name, that of the first for None.

    Raises:
        UserError: it is none of these.
    """
    if to is None:
        return 0
    if to not in directions:
        raise UserError(f"{name} cannot translate to {to}: choose from {', '.join(directions)}")
    return directions.index(to)


def sources_of(batch: Batch) -> Tensor:
    """Returns the pictures of a batch that are to be translated: (B, C, H, W) in [-1, 1].

    Raises:
        UserError: there are none.
    """
    if batch.sources is None:
        raise UserError("these batches hold nothing to translate: choose a source of pairs or data.damage")
    return batch.sources
