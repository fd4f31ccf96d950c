"""What a model makes of images, and the scores that only pairs of images, or only codes, have."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.callbacks.protocols import Translates, TranslatesInStyle, image_mapping
from gen_experiments.commands.evaluating.image_sets import SPLITS, Archive, Images
from gen_experiments.commands.evaluating.named_inputs import checkpoint_description
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.evaluation.intervals import Score, mean_of
from gen_experiments.evaluation.records import RECONSTRUCTIONS
from gen_experiments.images import to_float, to_uint8
from gen_experiments.losses.perceptual import Perceptual
from gen_experiments.metrics.codebook import entropy_bits, perplexity, usage
from gen_experiments.metrics.reconstruction import MS_SSIM_SIZE, WINDOW, l1, ms_ssim, psnr, ssim
from gen_experiments.models.base import ImageModel
from gen_experiments.models.vqvae import VQVAE

PAIRED = {"psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim, "l1": l1}
GAIN = "psnr_gain"
MIN_SIZE = {"psnr": 1, "ssim": WINDOW, "ms_ssim": MS_SSIM_SIZE, "l1": 1}
TRANSLATIONS = "translations"
OF_CODES = ("perplexity", "codebook_usage", "bits_per_pixel")


class Reconstructions:
    """What a model makes of images or of their sources, and how close it is to the images.

    Args:
        model: one that reconstructs or translates.
        checkpoint: its file.
        originals: the images.
        sources: what the model is to turn into a range of the images; None for these themselves, as a training sees
            them.
        in_pairs: whether the results can be compared with the images one by one.
        lpips: the LPIPS; None for none, unless it is wanted.
        wanted: names of scores; None for all.
        with_codes: whether to count the codes of a model that has codes.

    Raises:
        UserError: there are only statistics of images.
    """

    def __init__(
        self,
        model: ImageModel,
        checkpoint: Path,
        originals: Images | Archive,
        sources: Callable[[range], Tensor] | None = None,
        in_pairs: bool = True,
        lpips: Perceptual | None = None,
        wanted: Sequence[str] | None = None,
        with_codes: bool = True,
    ) -> None:
        if isinstance(originals, Archive):
            raise UserError(f"{originals.path} holds statistics, and {checkpoint} reconstructs: name the images")
        mapping = image_mapping(model)
        assert mapping is not None
        self.model, self.originals, self.in_pairs = model, originals, in_pairs
        self._mapping, self._sources = mapping, sources
        kind = TRANSLATIONS if isinstance(model, Translates) else RECONSTRUCTIONS
        described = {**checkpoint_description(model, checkpoint), "kind": kind}
        if isinstance(model, TranslatesInStyle):
            described["styles"] = "one drawn for each image"
        self.images = Images(described, originals.count, self._read)
        if wanted is not None and "lpips" in wanted:
            lpips = lpips or Perceptual()
        self._lpips = lpips if in_pairs and (wanted is None or "lpips" in wanted) else None
        names = [name for name in PAIRED if model.image.shorter >= MIN_SIZE[name]] if in_pairs else []
        if sources is None:
            names.remove("l1")  # of reconstructions the squares are reported
        elif in_pairs:
            names.append(GAIN)
        names += ["lpips"] if self._lpips else []
        # Of no images, for a process that gets none.
        self._values = {name: [torch.empty(0)] for name in names}
        self._codes, self._places = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, dtype=torch.int64)]
        self._tokenizer = model if with_codes and isinstance(model, VQVAE) else None
        if self._tokenizer is not None:
            self._codes = [self._tokenizer.encode(torch.zeros(1, *model.image.shape, device=model.device))[:0].cpu()]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the scores."""
        return (*self._values, *(OF_CODES if self._tokenizer is not None else ()))

    def _read(self, part: range) -> Tensor:
        images = self.originals.read(part)
        truth = to_float(images.to(self.model.device))
        if self._sources is not None:
            inputs = self._sources(part).to(self.model.device)
        elif self.originals.kept is not None:
            inputs = to_float(self.originals.kept(part).to(self.model.device))
        else:
            inputs = truth
        places = torch.arange(part.start, part.stop)
        remade = to_uint8(self._mapping(inputs, places)).cpu()
        for name, measure in PAIRED.items():
            if name in self._values:
                self._values[name].append(measure(remade, images))
        if GAIN in self._values:
            self._values[GAIN].append(psnr(remade, images) - psnr(to_uint8(inputs).cpu(), images))
        if self._lpips is not None:
            self._values["lpips"].append(self._lpips.lpips(to_float(remade.to(truth.device)), truth).cpu())
        if self._tokenizer is not None:
            self._codes.append(self._tokenizer.encode(inputs).cpu())
        self._places.append(places)
        return remade

    def scores(self) -> dict[str, Score]:
        """Returns the scores of all images that the processes have read; each of these must call it.

        `psnr`, `ssim` and, of 176 pixels or more, `ms_ssim`, and LPIPS; with sources also `l1` and `psnr_gain`, by how
        many dB what was made is closer to the image than the source on a mean over the images; of a model of codes
        also `perplexity` and `codebook_usage` of all codes together, and `bits_per_pixel`, which an ideal coder takes
        that knows how often each code occurs.
        """
        scores = {}
        for name, parts in self._values.items():
            values, _ = distributed.gather_in_order(parts, self._places)
            scores[name] = Score(float(values.double().mean()), statistic=mean_of(values))
        if self._tokenizer is not None:
            codes, _ = distributed.gather_in_order(self._codes, self._places)
            counts = torch.bincount(codes.flatten(), minlength=self._tokenizer.quantizer.codebook_size)
            image = self.model.image
            bits = sum(entropy_bits(codes, self._tokenizer.code_grids)) / (image.height * image.width)
            for name, value in zip(OF_CODES, (float(perplexity(counts)), float(usage(counts)), bits), strict=True):
                scores[name] = Score(value, settings={"codebook_size": len(counts)})
        return scores


def reconstructions_of(
    model: ImageModel,
    checkpoint: Path,
    real: Images | Archive,
    compared: tuple[ImageDataModule, str] | None,
    lpips: Perceptual | None,
    wanted: Sequence[str] | None,
) -> Reconstructions:
    """Returns what a model makes of the sources of images, or of the images themselves if the data have no sources.

    Args:
        model: one that reconstructs or translates images.
        checkpoint: its file.
        real: the images.
        compared: the data and the split whose images they are; None for others.
        lpips: as for `Reconstructions`.
        wanted: likewise.

    Raises:
        UserError: the model translates, and there are no sources.
    """
    if compared is not None and compared[0].has_source_images:
        sources, in_pairs = partial(source_images_of_split, *compared), compared[0].in_pairs
        return Reconstructions(model, checkpoint, real, sources, in_pairs, lpips, wanted)
    if isinstance(model, Translates):
        raise UserError(f"{checkpoint} translates: name a split of its data ({', '.join(SPLITS)}) or a configuration")
    return Reconstructions(model, checkpoint, real, lpips=lpips, wanted=wanted)


def source_images_of_split(data: ImageDataModule, split: str, part: range) -> Tensor:
    """Returns what is to be turned into a range of a split's images: (N, C, H, W) float32 in [-1, 1]."""
    return data.source_images(split, np.arange(part.start, part.stop))
