"""The base of models that generate: a seed names an endless sequence of numbered samples."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from gen_experiments import randomness
from gen_experiments.images import Batch
from gen_experiments.models.base import ImageModel
from gen_experiments.randomness import Stream


class GenerativeModel(ImageModel, ABC):
    """The base of models that generate; a subclass defines `generate`."""

    @property
    @abstractmethod
    def num_classes(self) -> int | None:
        """The number of labels, or None if the model has no classes."""

    @abstractmethod
    def generate(self, sources: Sequence[torch.Generator], labels: Tensor | None, truncation: float) -> Tensor:
        """Returns one image per source of random numbers; see `sample`."""

    def sample(
        self, first: int, count: int, seed: int = 0, labels: Tensor | None = None, truncation: float = 1.0
    ) -> Tensor:
        """Returns images `first` ... `first + count - 1` of the endless sequence that `seed` names.

        Each image depends on its number, the seed and its label alone, not on the batch, the device or the number of
        processes.

        Args:
            first: the number of the first image.
            count: how many images.
            seed: names the sequence.
            labels: (count,) int64, the classes of the images; None draws them, all classes alike. Only for a model of
                classes.
            truncation: in (0, 1], a factor on a GAN's noise or on the temperature of a prior's codes: smaller values
                give more typical and less varied images.

        Returns:
            (count, C, H, W) in [-1, 1].
        """
        sources = sample_sources(first, count, seed)
        labels = drawn_labels(sources, self.num_classes) if labels is None else labels
        return self.generate(sources, None if labels is None else labels.to(self.device), truncation)

    def sample_labels(self, first: int, count: int, seed: int = 0) -> Tensor | None:
        """Returns the (count,) int64 labels that `sample` draws for these images; None without classes."""
        return drawn_labels(sample_sources(first, count, seed), self.num_classes)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns one sample per image of the batch, with the image's number in its split."""
        count = batch.images.shape[0]
        if not count:
            return batch.images
        first = batch_idx * count if batch.indices is None else int(batch.indices[0])
        return self.sample(first, count)

    def on_validation_epoch_end(self) -> None:
        """Logs the images seen, the x-axis of the evaluation's curves."""
        self.log_images_seen()


def sample_sources(first: int, count: int, seed: int) -> list[torch.Generator]:
    """Returns one source of random numbers for each of the samples `first` ... `first + count - 1`."""
    return [randomness.generator("cpu", Stream.SAMPLE, seed, number) for number in range(first, first + count)]


def drawn_labels(sources: Sequence[torch.Generator], classes: int | None) -> Tensor | None:
    """Returns (count,) int64 labels, each drawn from the source of its sample; None without classes."""
    if classes is None:
        return None
    return torch.cat([torch.randint(classes, (1,), generator=source) for source in sources])
