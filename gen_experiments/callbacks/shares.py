"""Checks that every process gets images to evaluate."""

from typing import TYPE_CHECKING

from lightning.pytorch import LightningModule

from gen_experiments import distributed
from gen_experiments.errors import UserError

if TYPE_CHECKING:
    from gen_experiments.data.datamodule import ImageDataModule


def check_shares(data: "ImageDataModule", model: LightningModule, split: str) -> None:
    """Refuses a split if the model scores its batches and some process would get no image.

    Raises:
        UserError: there are more processes than images in the split or in a batch of it.
    """
    images, processes = len(data.split(split)), distributed.world_size()
    if getattr(model, "scores_batches", True) and min(images, data.eval_batch_size) < processes:
        raise UserError(
            f"{processes} devices cannot share {images} {split} images in batches of {data.eval_batch_size}: "
            f"set fewer devices, or a larger data.{split}_size or data.eval_batch_size"
        )
