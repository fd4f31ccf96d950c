"""The base of models that generate: a seed names an endless sequence of numbered samples."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gen_experiments import distributed, randomness
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError, quoted, shortened
from gen_experiments.images import Batch
from gen_experiments.models.base import ImageModel
from gen_experiments.randomness import Stream
from gen_experiments.training.data_checks import warn_of_unseen_damage


class GenerativeModel(ImageModel, ABC):
    """The base of models that generate; a subclass defines `generate`.

    Attributes:
        class_counts: the number of training images of each class, by which `sample` draws labels; saved in checkpoints.
            None for a model without classes, and before training, when all classes are drawn alike.
    """

    class_counts: list[int] | None = None

    @property
    @abstractmethod
    def num_classes(self) -> int | None:
        """The number of labels, or None if the model has no classes."""

    @abstractmethod
    def generate(self, rngs: Sequence[torch.Generator], labels: Tensor | None, truncation: float) -> Tensor:
        """Returns one image per random number generator; see `sample`."""

    def sample(
        self, first: int, count: int, seed: int = 0, labels: Tensor | None = None, truncation: float = 1.0
    ) -> Tensor:
        """Returns images `first` ... `first + count - 1` of the endless sequence that `seed` names.

        Each image depends on its number, the seed and its label alone, not on the batch, the device or the number of
        processes. The label's draw comes before the image's: under given labels, an image is another one than where the
        same label is drawn.

        Args:
            first: the number of the first image.
            count: how many images.
            seed: names the sequence.
            labels: (count,) int64, the classes of the images; None draws them, each as often as among the training
                images (`class_counts`). Only for a model of classes.
            truncation: in (0, 1], a factor on a GAN's noise or on the temperature of a prior's codes: smaller values
                give more typical and less varied images.

        Returns:
            (count, C, H, W) in [-1, 1].
        """
        rngs = sample_rngs(first, count, seed)
        labels = self.drawn_labels(rngs) if labels is None else labels
        return self.generate(rngs, None if labels is None else labels.to(self.device), truncation)

    def sample_labels(self, first: int, count: int, seed: int = 0) -> Tensor | None:
        """Returns the (count,) int64 labels that `sample` draws for these images; None without classes."""
        return self.drawn_labels(sample_rngs(first, count, seed))

    def drawn_labels(self, rngs: Sequence[torch.Generator]) -> Tensor | None:
        """Returns (len(rngs),) int64 labels, each drawn by the generator of its sample; None without classes."""
        if self.num_classes is None:
            return None
        ends = torch.tensor(self.class_counts or [1] * self.num_classes).cumsum(0)
        images = torch.cat([torch.randint(int(ends[-1]), (1,), generator=rng) for rng in rngs])
        return torch.bucketize(images, ends, right=True)

    def on_fit_start(self) -> None:
        """Counts the training images of each class; warns of classes without any, and of damage that it cannot see."""
        warn_of_unseen_damage(self)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if self.num_classes is None or not isinstance(data, ImageDataModule):
            return
        images = data.split("train")
        if images.all_labels is not None:
            self.class_counts = np.bincount(images.all_labels[images.members], minlength=self.num_classes).tolist()
            # Old models may lack the names.
            counted = zip(self.image.class_labels, self.class_counts, strict=False)
            unseen = [quoted(name) for name, count in counted if not count]
            if unseen:
                distributed.warn_once(
                    f"no training image is of {shortened(', '.join(unseen))}: samples of such a class would be noise; "
                    "add pictures to train, hold out fewer, or remove the class"
                )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the number of training images of each class."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["class_counts"] = self.class_counts

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the number of training images of each class.

        Raises:
            UserError: the checkpoint holds other counts than those of the model's classes.
        """
        super().on_load_checkpoint(checkpoint)
        self.class_counts = counts = checkpoint.get("class_counts")
        if counts is None:
            return
        whole = isinstance(counts, list) and all(type(count) is int and count >= 0 for count in counts)
        if not whole or len(counts) != self.num_classes or not 0 < sum(counts) < 2**63:
            raise UserError("the checkpoint is damaged: its class_counts are not the numbers of images of each class")

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns one sample per image of the batch, with the image's number in its split."""
        count = batch.images.shape[0]
        if not count:
            return batch.images
        first = batch_idx * count if batch.indices is None else int(batch.indices[0])
        return self.sample(first, count)


def sample_rngs(first: int, count: int, seed: int) -> list[torch.Generator]:
    """Returns a random number generator for each of the samples `first` ... `first + count - 1`."""
    return [randomness.generator("cpu", Stream.SAMPLE, seed, number) for number in range(first, first + count)]
