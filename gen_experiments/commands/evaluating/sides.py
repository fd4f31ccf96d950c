"""The two sides of an evaluation: the scored images and the reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gen_experiments.callbacks.protocols import image_mapping
from gen_experiments.commands.decoding import decode_by
from gen_experiments.commands.evaluating.copies import OF_COPIES
from gen_experiments.commands.evaluating.image_sets import SPLITS, Archive, Images, split_compared_with, split_images
from gen_experiments.commands.evaluating.named_inputs import images_of, open_input
from gen_experiments.commands.evaluating.protocol import Protocol
from gen_experiments.commands.evaluating.reconstructions import GAIN, OF_CODES, Reconstructions, reconstructions_of
from gen_experiments.commands.training_data import split_data
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.evaluation.scores import METRICS, check_counts, check_extractor
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.reconstruction import MS_SSIM_SIZE
from gen_experiments.models.base import ImageModel

NEEDS = {
    "ms_ssim": f" of {MS_SSIM_SIZE} pixels a side",
    GAIN: " of damaged pictures",
    **dict.fromkeys(OF_CODES, " by codes"),
}


OF_MOMENTS = ("fid", "sfid")  # need no features of single images
OF_ONE_SIDE = ("is", "fid_infinity")  # need those of the scored images alone


@dataclass(frozen=True)
class Sides:
    """The scored images and the reference of an evaluation.

    Attributes:
        fake: the scored images.
        real: the reference.
        checkpoint: the file of the model that is scored; None where a folder, data or an archive are.
        model: what it holds.
        reconstructions: what that model makes of the images that it is compared with, which `fake` is then.
        data: the data, and their split, of which these are.
    """

    fake: Images | Archive
    real: Images | Archive
    checkpoint: Path | None
    model: ImageModel | None
    reconstructions: Reconstructions | None
    data: tuple[ImageDataModule, str] | None

    @property
    def content(self) -> str | None:
        """What the images show (`FeatureExtractor.content`), if it is known."""
        return self.real.content or self.fake.content

    def check(self, protocol: Protocol, networks: Sequence[FeatureExtractor]) -> None:
        """Refuses scores that these images cannot have, before a pass over them that may take minutes.

        Raises:
            UserError: a metric is of other images or of more, or the images cannot be damaged or have no LPIPS.
        """
        if protocol.damage is not None and self.data is None:
            raise UserError("--damage is for a model that restores and a split of its data: leave it out here")
        of_pairs = () if self.reconstructions is None else self.reconstructions.metrics
        if protocol.lpips is not None and "lpips" not in of_pairs:
            raise UserError("--lpips is for reconstructions in pairs and metrics with lpips: leave it out here")
        evaluated, reference = (side.count if isinstance(side, Images) else None for side in (self.fake, self.real))
        metrics = protocol.metrics or ()
        check_counts(metrics, evaluated, reference)
        paired = self.reconstructions is not None and self.reconstructions.in_pairs
        for network in networks:
            check_extractor(metrics, network, evaluated, paired)
        for name in metrics:
            if name in OF_COPIES and (self.checkpoint is None or self.reconstructions is not None):
                raise UserError(f"{name} is for samples of a run: leave it out here")
            if name not in (*METRICS, *OF_COPIES, *of_pairs):
                raise UserError(f"{name} is for reconstructions{NEEDS.get(name, '')}: leave it out here")
            compared = (self.fake,) if name in OF_ONE_SIDE else (self.fake, self.real)
            if name in METRICS and name not in OF_MOMENTS and any(map(_holds_moments_alone, compared)):
                raise UserError(f"{name} needs images, not statistics alone: leave it out here, or name the images")


def open_sides(evaluated: str, reference: str | None, protocol: Protocol, device: torch.device) -> Sides:
    """Opens both sides of an evaluation, named as for `evaluate`, with the models on the device.

    Raises:
        UserError: see `evaluate`.
    """
    mine = open_input(evaluated, device)
    decode_by(mine.model, protocol.decoding)
    theirs = None if reference is None or reference in SPLITS else open_input(reference, device)
    checkpoint, model = mine.checkpoint, mine.model
    data, reconstructions, maps_images = None, None, image_mapping(model) is not None
    if checkpoint is not None and maps_images:
        if theirs is None:
            data = split_data(str(checkpoint), None), reference or split_compared_with(checkpoint, True)
        else:
            data = theirs.data
    preprocessing = mine.preprocessing or (None if theirs is None else theirs.preprocessing)
    if data is not None:
        real: Images | Archive = split_images(*data)
    elif theirs is None:
        real = _own_split(evaluated, checkpoint, reference)
    else:
        real = images_of(theirs, preprocessing, protocol.num, protocol.seed)
    if model is not None and checkpoint is not None and maps_images:
        reconstructions = reconstructions_of(model, checkpoint, real, data, protocol.lpips, protocol.metrics)
        fake: Images | Archive = reconstructions.images
    else:
        fake = images_of(mine, preprocessing, protocol.num, protocol.seed)
    return Sides(fake, real, checkpoint, model, reconstructions, data)


def _holds_moments_alone(side: Images | Archive) -> bool:
    return isinstance(side, Archive) and side.kind == "statistics"


def _own_split(evaluated: str, checkpoint: Path | None, split: str | None) -> Images:
    """Returns a split of the data that a model that samples was trained on, by default what training compared with."""
    if checkpoint is None:
        raise UserError(f"{evaluated} has no data of its own to be compared with: name a reference after it")
    return split_images(split_data(str(checkpoint), None), split or split_compared_with(checkpoint, False))
