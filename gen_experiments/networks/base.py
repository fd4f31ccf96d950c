"""The base classes of the networks.

A model builds its networks by factories, which get the images' shape from the data.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from gen_experiments.images import ImageSpec
from gen_experiments.precision import CastsInputs


class Encoder(CastsInputs, ABC):
    """Images to latents; built as `encoder(image: ImageSpec, dim: int)`."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) in [-1, 1] -> (B, dim, h, w)."""


class StagedEncoder(Encoder):
    """An encoder that also returns the features of its resolutions."""

    @abstractmethod
    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Returns the last features at each resolution, the largest first: (B, channels, h, w) each.

        Each has half the height and width of the one before; the full resolution is not among them.
        """


class Decoder(CastsInputs, ABC):
    """Latents to images; built as `decoder(image: ImageSpec, dim: int)`."""

    @property
    @abstractmethod
    def last_weight(self) -> Tensor:
        """The weight of the last layer, at whose gradients losses are weighed against each other."""

    @abstractmethod
    def forward(self, latents: Tensor) -> Tensor:
        """Maps (B, dim, h, w) -> (B, C, H, W); values should lie in [-1, 1] but are not clamped."""


class Generator(CastsInputs, ABC):
    """Noise to images; built as `generator(image: ImageSpec)`.

    Attributes:
        latent_dim: the length of its standard normal noise vectors.
        num_classes: the number of labels, or None if it is not conditional.
    """

    latent_dim: int
    num_classes: int | None = None

    @property
    @abstractmethod
    def first_weight(self) -> Tensor:
        """(F, latent_dim), the matrix by which the first layer multiplies the noise."""

    @abstractmethod
    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, latent_dim) noise and, for conditional networks, (B,) int64 labels -> (B, C, H, W)."""


class Translator(CastsInputs, ABC):
    """Images to images of another style; built as `translator(image: ImageSpec)`."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) in [-1, 1] -> the same shape; values should lie in [-1, 1] but are not always clamped."""


class StagedTranslator(Translator):
    """A translator of several stages that also returns their features.

    Attributes:
        feature_channels: channels of the image (0) and of the output of each stage but the last.
    """

    feature_channels: list[int]

    @abstractmethod
    def features(self, images: Tensor, stages: Sequence[int]) -> list[Tensor]:
        """Returns the features after given numbers of stages (0: the images), ascending: (B, channels, h, w) each."""


class StyledAutoencoder(nn.Module, ABC):
    """Images of one side to content and style, and back; built as `autoencoder(image: ImageSpec)`.

    Each of its three functions converts its inputs to the precision of the weights.

    Attributes:
        style_dim: the length of a style; the styles of all images should be standard normal.
    """

    style_dim: int

    @abstractmethod
    def content(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) in [-1, 1] -> (B, dim, h, w)."""

    @abstractmethod
    def style(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) in [-1, 1] -> (B, style_dim)."""

    @abstractmethod
    def decode(self, contents: Tensor, styles: Tensor) -> Tensor:
        """Maps (B, dim, h, w) and (B, style_dim) -> (B, C, H, W) in (-1, 1)."""


class Discriminator(CastsInputs, ABC):
    """Images to logits; built as `discriminator(image: ImageSpec)`.

    Attributes:
        num_classes: the number of labels, or None if it is not conditional.
    """

    num_classes: int | None = None

    @abstractmethod
    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, C, H, W) images and, for conditional networks, (B,) int64 labels -> (B,) logits, high for real.

        A network that judges n patches of an image returns (B, n).
        """


EncoderFactory = Callable[[ImageSpec, int], Encoder]
DecoderFactory = Callable[[ImageSpec, int], Decoder]
GeneratorFactory = Callable[[ImageSpec], Generator]
TranslatorFactory = Callable[[ImageSpec], Translator]
StyledAutoencoderFactory = Callable[[ImageSpec], StyledAutoencoder]
DiscriminatorFactory = Callable[[ImageSpec], Discriminator]
