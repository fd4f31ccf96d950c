"""A translation model translates by the moving averages of its generators."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from gen_experiments.contracts import require_shape
from gen_experiments.errors import UserError
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.metrics.image_means import ImageMeans
from gen_experiments.models.base import ImageModel
from gen_experiments.precision import at_least_float32
from gen_experiments.pure_functions import PureFunction, example_images
from gen_experiments.schedules import Schedule
from gen_experiments.training.ema import EMA


class AveragedTranslator(ImageModel):
    """The half of a translation model that is used after training, as `AveragedGenerator` is of a GAN.

    A subclass sets `averages`, one moving average of a generator for each of its `directions`.

    Args:
        image: what the images are like; the command line links it from the data.
        lr_schedule: factor on the learning rates, as a function of images seen; None keeps them.

    Attributes:
        directions: the sides that pictures can be turned into; the first is validated.
        means: the names of the scalars that `evaluated` returns.
    """

    score_without_fid: ClassVar[tuple[str, str] | None] = ("val/psnr", "max")
    directions: ClassVar[tuple[str, ...]] = ("B",)
    means: ClassVar[tuple[str, ...]] = ()

    averages: nn.ModuleList

    def __init__(self, image: ImageSpec, lr_schedule: Schedule | None) -> None:
        super().__init__(image, lr_schedule)
        self._means = ImageMeans(*self.means) if self.means else None

    def forward(self, images: Tensor) -> Tensor:
        """Turns (B, C, H, W) images in [-1, 1] into the first direction by the averaged generator."""
        return self.translate(images)

    def translate(self, images: Tensor, to: str | None = None) -> Tensor:
        """Turns (B, C, H, W) images in [-1, 1] into the side `to`, the first direction by default; same shape.

        Raises:
            UserError: the model has no such direction.
        """
        return at_least_float32(translate_images(self.averages[self.place_of(to)], images))

    def place_of(self, to: str | None) -> int:
        """Returns the index of a side among the directions; 0 for None.

        Raises:
            UserError: the model has no such direction.
        """
        return place_among(self.directions, to, type(self).__name__)

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns `to_b` and so on, one for each direction: (B, C, H, W) images in [-1, 1] -> the same shape.

        They are the averaged generators, as in `translate`.
        """
        inputs = {"images": example_images(self.image)}
        return {
            f"to_{side.lower()}": PureFunction(average, (average,), inputs, ("translations",))
            for side, average in zip(self.directions, self.averages, strict=True)
        }

    def evaluated(self, sources: Tensor, translations: Tensor) -> dict[str, Tensor]:
        """Returns the scalars that `means` names, for a batch of an evaluation."""
        return {}

    def translate_batch(self, batch: Batch) -> Tensor:
        """Returns the translations of a batch of an evaluation or a prediction."""
        return self.translate(source_images_of(batch))

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Returns the translations of a batch for the callbacks."""
        sources = source_images_of(batch)
        translations = self.translate_batch(batch)
        if self._means is not None:
            self._means.update(len(sources), **self.evaluated(sources, translations))
        return {"translations": translations}

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the translations of a batch."""
        return self.translate_batch(batch)

    def log_evaluation(self, split: str) -> None:
        """Logs the means."""
        if self._means is not None:
            self.log_dict({f"{split}/{name}": value for name, value in self._means.compute(self.device).items()})
        super().log_evaluation(split)


def translate_images(generator: nn.Module, images: Tensor) -> Tensor:
    """Returns what a generator, or the average of one, makes of (B, C, H, W) images.

    Raises:
        UserError: it has another shape.
    """
    translation: Tensor = generator(images)
    of = generator.module if isinstance(generator, EMA) else generator
    require_shape(translation, tuple(images.shape), f"the result of {type(of).__name__}.forward")
    return translation


def place_among(directions: Sequence[str], to: str | None, name: str) -> int:
    """Returns the index of the side `to` among the directions of a model called `name`; 0 for None.

    Raises:
        UserError: there is no such direction.
    """
    if to is None:
        return 0
    if to not in directions:
        raise UserError(f"{name} cannot translate to {to}: choose from {', '.join(directions)}")
    return directions.index(to)


def source_images_of(batch: Batch) -> Tensor:
    """Returns the pictures of a batch that are to be translated: (B, C, H, W) in [-1, 1].

    Raises:
        UserError: there are none.
    """
    if batch.source_images is None:
        raise UserError("these batches hold nothing to translate: choose a source of pairs or data.damage")
    return batch.source_images
