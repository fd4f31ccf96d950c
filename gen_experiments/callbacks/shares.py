"""Checks that a model and its images can have the scores that were asked for, and each process gets images."""

from typing import TYPE_CHECKING

from lightning.pytorch import LightningModule

from gen_experiments import distributed
from gen_experiments.callbacks.no_effect import warn_of_no_effect
from gen_experiments.callbacks.protocols import Reconstructs, Samples, Translates
from gen_experiments.errors import UserError

if TYPE_CHECKING:
    from gen_experiments.callbacks.evaluation import Evaluation
    from gen_experiments.data.datamodule import ImageDataModule


def check_evaluation(evaluation: "Evaluation", model: LightningModule, data: "ImageDataModule") -> None:
    """Refuses scores that these images or this model cannot have, before any image is decoded.

    Raises:
        UserError: the extractor is not for such images, or LPIPS has no pairs of images to compare.
    """
    if evaluation.extractor is not None:
        evaluation.extractor.check_channels(data.source.channels)
        evaluation.extractor.fits(data.source.content)
    in_pairs = isinstance(model, Reconstructs) or (isinstance(model, Translates) and data.in_pairs)
    if evaluation.pairs.lpips is not None and not in_pairs:
        raise UserError(
            "evaluation.lpips is for reconstructions, and for translations of pictures with a true counterpart: "
            f"leave it out for this {type(model).__name__}"
        )


def warn_of_unread(evaluation: "Evaluation", model: LightningModule) -> None:
    """Warns of options that the scores of this model do not read."""
    if evaluation.extractor is None:
        why = "without features to compare: choose an evaluation.extractor"
        warn_of_no_effect(evaluation, ("metrics",), why, "evaluation")
    if not isinstance(model, Samples):
        why = f"on the scores of a {type(model).__name__}, which makes no samples"
        warn_of_no_effect(evaluation, ("samples", "seed", "reference"), why, "evaluation")


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
