"""A classifier of the user's own images, whose features `TrainedFeatures` extracts."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer
from torchmetrics.classification import MulticlassConfusionMatrix

from gen_experiments import randomness
from gen_experiments.errors import check_interval
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.metrics.classifier_net import ClassifierNet
from gen_experiments.models.base import ImageModel
from gen_experiments.networks.conditioning import require_labels
from gen_experiments.precision import at_least_float32
from gen_experiments.pure_functions import PureFunction, example_images
from gen_experiments.randomness import Stream
from gen_experiments.runs.location import run_folder
from gen_experiments.schedules import Schedule
from gen_experiments.storage import atomic_write
from gen_experiments.training.data_checks import warn_of_unseen_damage
from gen_experiments.training.optimizers import OptimizerFactory

ClassifierFactory = Callable[[ImageSpec], ClassifierNet]


class Classifier(ImageModel):
    """Trains a network by cross-entropy on labelled images that are shifted at random.

    It logs `train/loss`, `val/accuracy` and `test/accuracy`, the share of images whose largest logit is their label's.
    Each evaluation writes its confusion matrix to `confusion.csv` in the run's folder: a row per true class, a column
    per predicted class.

    Args:
        image: what the images are like; the command line links it from the data.
        network: makes the classifier.
        optimizer: makes the optimizer.
        lr_schedule: factor on the learning rate, as a function of images seen; None keeps it.
        shift: the largest shift of a training image in pixels, in either direction, with its edge repeated; >= 0.
        label_smoothing: share of the label's probability that is spread over all classes; in [0, 1).

    Raises:
        UserError: a number out of range, or images without labels.
    """

    score_without_fid: ClassVar[tuple[str, str] | None] = ("val/accuracy", "max")

    def __init__(
        self,
        image: ImageSpec,
        network: ClassifierFactory,
        optimizer: OptimizerFactory,
        lr_schedule: Schedule | None = None,
        shift: int = 2,
        label_smoothing: float = 0.0,
    ) -> None:
        check_interval("[0, inf)", shift=shift)
        check_interval("[0, 1)", label_smoothing=label_smoothing)
        super().__init__(image, lr_schedule)
        self.network = network(image)
        self.optimizer = optimizer
        self.shift, self.label_smoothing = shift, label_smoothing
        self.confusion = MulticlassConfusionMatrix(image.num_classes or 0)

    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) images in [-1, 1] -> (B, num_classes) logits, at least in float32."""
        return at_least_float32(self.network(images))

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns `classifier`: (B, C, H, W) images in [-1, 1] -> (B, num_classes) logits."""
        inputs = {"images": example_images(self.image)}
        return {"classifier": PureFunction(self.network, (self.network,), inputs, ("logits",))}

    def on_fit_start(self) -> None:
        """Warns of damage that it cannot see."""
        warn_of_unseen_damage(self)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the cross-entropy of a batch."""
        rng = randomness.generator("cpu", Stream.SHIFT, randomness.run_seed(), self.images_seen)
        images = shift_randomly(batch.images, self.shift, rng)
        loss = F.cross_entropy(self(images), require_labels(batch.labels), label_smoothing=self.label_smoothing)
        self.log_training(loss=loss)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Counts the predicted classes."""
        if len(batch.images):
            self.confusion.update(self(batch.images), require_labels(batch.labels))

    def configure_optimizers(self) -> list[Optimizer]:
        """Returns the optimizer of the network."""
        return self.scheduled(self.optimizer(self.network.parameters()))

    def log_evaluation(self, split: str) -> None:
        """Logs the accuracy, and writes the confusion matrix."""
        counts = self.confusion.compute()
        self.confusion.reset()
        self.log(f"{split}/accuracy", (counts.diagonal().sum() / counts.sum()).float())
        super().log_evaluation(split)
        folder = run_folder(self.trainer)
        if folder is not None and self.trainer.is_global_zero and not self.trainer.sanity_checking:
            write_confusion(folder / "confusion.csv", counts, self.image.class_labels)


def shift_randomly(images: Tensor, pixels: int, rng: torch.Generator) -> Tensor:
    """Shifts each image by whole pixels, with its edge repeated.

    Args:
        images: (B, C, H, W), this process's part of the global batch.
        pixels: the largest shift, in either direction of both axes.
        rng: in the same state on every process.
    """
    if not pixels:
        return images
    rows = len(images)
    down, right = (randomness.randint_rows(rows, 2 * pixels + 1, rng).to(images.device) for _ in range(2))
    height, width = images.shape[-2:]
    padded = F.pad(images, (pixels,) * 4, mode="replicate")
    image = torch.arange(rows, device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    row = (down[:, None] + torch.arange(height, device=images.device))[:, None, :, None]
    column = (right[:, None] + torch.arange(width, device=images.device))[:, None, None, :]
    return padded[image, channel, row, column]


def write_confusion(path: Path, counts: Tensor, names: tuple[str, ...]) -> None:
    """Writes (K, K) counts, true classes by predicted classes, as a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["true class", *(f"found {name}" for name in names)])
    for name, row in zip(names, counts.tolist(), strict=True):
        writer.writerow([name, *row])
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
