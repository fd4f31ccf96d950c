"""Protocols: the methods that callbacks and commands need of a model, beside those of a LightningModule."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from gen_experiments.images import ImageSpec


class OfImages(Protocol):
    """A model of images of one shape, as every `ImageModel` is."""

    image: ImageSpec

    @property
    def device(self) -> torch.device:
        """The device of its weights."""


@runtime_checkable
class Samples(OfImages, Protocol):
    """A model that makes images."""

    @property
    def num_classes(self) -> int | None:
        """The number of classes of the labels; None for a model without labels."""

    def sample(
        self, first: int, count: int, seed: int = 0, labels: Tensor | None = None, truncation: float = 1.0
    ) -> Tensor:
        """Returns images `first` ... `first + count - 1` of the sequence of a seed: (count, C, H, W) in [-1, 1].

        The (count,) int64 labels are given or drawn; a truncation in (0, 1) makes the images more typical.
        """


@runtime_checkable
class SamplesOfClasses(Samples, Protocol):
    """A model that makes images and returns the labels that it draws for them."""

    def sample_labels(self, first: int, count: int, seed: int = 0) -> Tensor | None:
        """Returns the (count,) int64 labels that `sample` draws for these images; None without classes."""


@runtime_checkable
class Reconstructs(OfImages, Protocol):
    """A model that reconstructs images; its evaluation steps return `{"reconstructions": ...}`."""

    def reconstruct(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) in [-1, 1] -> the same shape."""


@runtime_checkable
class Translates(OfImages, Protocol):
    """A model that translates images; its evaluation steps return `{"translations": ...}`."""

    directions: ClassVar[tuple[str, ...]]  # the sides that it can translate to; the first is evaluated

    def translate(self, images: Tensor, to: str | None = None) -> Tensor:
        """Maps (B, C, H, W) in [-1, 1] -> the same shape, on the side `to`, by default that of the first direction."""


@runtime_checkable
class TranslatesInStyle(Translates, Protocol):
    """A model that translates images in a style, which is drawn or that of a given picture."""

    def translate(self, images: Tensor, to: str | None = None, styles: Tensor | None = None) -> Tensor:
        """Translates in (B, style_dim) styles, or in a single (1, style_dim) style."""

    def styles_of(self, images: Tensor, to: str | None = None) -> Tensor:
        """Maps (B, C, H, W) images of the side `to` -> their (B, style_dim) styles."""

    def drawn_styles(self, numbers: Tensor, seed: int = 0, to: str | None = None) -> Tensor:
        """Maps (B,) int64 numbers -> (B, style_dim) styles of the side `to`; each depends on number and seed alone."""


@runtime_checkable
class Proposes(Protocol):
    """A model that can draw several restorations of a picture."""

    def propose(self, images: Tensor, proposal: int = 0, seed: int = 0) -> Tensor:
        """Maps (B, C, H, W) in [-1, 1] -> the same shape: proposal number `proposal` of a seed."""


def image_mapping(model: object) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Returns how a model reconstructs images or translates them to its first direction, as in its validation.

    Returns:
        (B, C, H, W) images in [-1, 1] and their (B,) int64 places among all images -> the same shape; None if the model
        does neither. The places are the numbers of drawn styles, and mean nothing to models without styles.
    """
    if isinstance(model, TranslatesInStyle):
        return lambda images, places: model.translate(images, styles=model.drawn_styles(places))
    if isinstance(model, Translates):
        return lambda images, places: model.translate(images)
    return (lambda images, places: model.reconstruct(images)) if isinstance(model, Reconstructs) else None


def images_in(outputs: Any) -> Tensor | None:
    """Returns the reconstructions or translations in the outputs of an evaluation step; None without them."""
    if not isinstance(outputs, Mapping):
        return None
    images: Tensor | None = outputs.get("reconstructions", outputs.get("translations"))
    return images


@runtime_checkable
class HasUnits(Protocol):
    """A model that logs values in units of its own."""

    units: ClassVar[Mapping[str, str]]  # by the names of the values


@runtime_checkable
class Tokenizes(Protocol):
    """A model of codes, whose evaluation steps return `{"codes": ...}`: (B, ...) int64 indices."""

    code_counts: Tensor | None  # (codebook_size,), the counts of the codes in the last evaluation

    def code_latents(self, indices: Tensor) -> Tensor:
        """Maps (B, ...) int64 codes -> (B, D, h, w) latents."""

    def decode(self, indices: Tensor) -> Tensor:
        """Maps (B, ...) int64 codes -> (B, C, H, W) images in [-1, 1]."""
