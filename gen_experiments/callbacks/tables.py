"""Tables at Weights & Biases: reconstructions and translations with their errors, samples with their nearest images."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.callbacks.lookups import callbacks_of, data_of, images_seen
from gen_experiments.callbacks.protocols import Samples, Translates, image_mapping
from gen_experiments.channels import viewable
from gen_experiments.errors import check_interval
from gen_experiments.images import ImageSet, evenly_spaced, to_float, to_uint8
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.neighbours import nearest
from gen_experiments.metrics.reconstruction import psnr, ssim

if TYPE_CHECKING:
    from gen_experiments.data.datamodule import ImageDataModule

BATCH = 250


class Tables(Callback):
    """Logs a table to Weights & Biases at the last validation of a training; under other loggers it does nothing.

    For a model that reconstructs, the table holds evenly spaced validation images, their reconstructions, PSNR (dB),
    SSIM and the mean squared error of pixels in [0, 1]. For a model that translates or restores, it holds the sources,
    what the model makes of them and, for pairs, the true images and the same errors. For a model that samples, it holds
    the first samples, the training image nearest to each in the features of the run's extractor, and the Euclidean
    distance. The classes of true and of training images are named.

    Args:
        count: rows.
        among: number of training images, evenly spaced, among which the nearest are sought; all if there are fewer.

    Raises:
        UserError: a number out of range.
    """

    def __init__(self, count: int = 16, among: int = 10_000) -> None:
        check_interval("[1, 4096]", count=count)
        check_interval("[1, inf)", among=among)
        self.count, self.among = count, among

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the table, on the first process."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
        trains = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if not (loggers and trains and trainer.should_stop and trainer.is_global_zero):
            return
        data = data_of(trainer)
        with torch.inference_mode():
            if (mapping := image_mapping(pl_module)) is not None:
                one = "translation" if isinstance(pl_module, Translates) else "reconstruction"
                name, columns, rows = f"{one}s", *self._rows_of(mapping, one, data, pl_module.device)
            elif isinstance(pl_module, Samples) and (extractor := _extractor(trainer)) is not None:
                name, columns, rows = "nearest_training_images", *self._nearest(pl_module, data, extractor)
            else:
                return
        for logger in loggers:
            _log(logger, f"val/{name}_table", columns, rows, float(images_seen(pl_module)))

    def _rows_of(
        self, mapping: Callable[[Tensor, Tensor], Tensor], name: str, data: "ImageDataModule", device: torch.device
    ) -> tuple[list[str], list[list[Any]]]:
        images = data.split("val")
        chosen = evenly_spaced(len(images), self.count)
        inputs = data.source_images("val", chosen) if data.has_source_images else to_float(images.kept(chosen))
        outcome = to_uint8(mapping(inputs.to(device), torch.as_tensor(chosen))).cpu()
        if data.has_source_images and not data.in_pairs:
            return ["source", name], [*map(list, zip(to_uint8(inputs), outcome, strict=True))]
        truths = images.read(chosen)
        pictures = {"source": to_uint8(inputs), name: outcome, "truth": truths}
        if not data.has_source_images:
            pictures = {"image": truths, name: outcome}
        columns = {
            "class": _classes(data, images, chosen),
            **pictures,
            "psnr": psnr(outcome, truths).tolist(),
            "ssim": ssim(outcome, truths).tolist(),
            "mse": ((outcome.float() - truths.float()) / 255).square().flatten(1).mean(1).tolist(),
        }
        return [*columns], [*map(list, zip(*columns.values(), strict=True))]

    def _nearest(
        self, model: Any, data: "ImageDataModule", extractor: FeatureExtractor
    ) -> tuple[list[str], list[list[Any]]]:
        images = data.split("train")
        chosen = evenly_spaced(len(images), self.among)
        references = extractor.features_of(images, chosen, BATCH)
        samples = to_uint8(model.sample(0, self.count))
        distances, numbers = (part.cpu() for part in nearest(extractor(samples), references))
        neighbours = chosen[numbers.numpy()]
        columns = ["sample", "nearest training image", "its class", "distance", "training images"]
        rows = zip(
            samples.cpu(), images.read(neighbours), _classes(data, images, neighbours), distances.tolist(), strict=True
        )
        return columns, [[*row, len(chosen)] for row in rows]


def _classes(data: "ImageDataModule", images: ImageSet, chosen: np.ndarray[Any, Any]) -> list[str]:
    labels = images.labels(chosen)
    return [""] * len(chosen) if labels is None else [data.image.class_labels[label] for label in labels.tolist()]


def _extractor(trainer: Trainer) -> FeatureExtractor | None:
    return next((callback.extractor for callback in callbacks_of(trainer, Evaluation)), None)


def _log(logger: WandbLogger, name: str, columns: list[str], rows: list[list[Any]], images_seen: float) -> None:
    import wandb

    def cell(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        pixels = viewable(value).movedim(0, -1).numpy()
        return wandb.Image(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)

    table = wandb.Table(columns=[*columns], data=[[cell(value) for value in row] for row in rows])
    logger.log_metrics({name: table, "images_seen": images_seen})  # type: ignore[dict-item]
