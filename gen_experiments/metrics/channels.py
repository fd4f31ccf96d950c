"""Features of named channels, of images that have other channels than a network knows."""

import torch
from torch import Tensor

from gen_experiments.channels import check_chosen, chosen
from gen_experiments.metrics.features import FeatureExtractor


class ChosenChannels(FeatureExtractor):
    """Another extractor's features of one or three channels of the images, which the user names.

    `[0, 1, 2]` of images with alpha are their colours without it; `[0, 1, 1]` of two stains shows the first as red and
    the second as green and blue. Distances compare only with those of the same choice, which stands in every record.

    Args:
        of: the extractor that sees them.
        channels: one or three of the images' channels, counted from 0; the same may stand more than once.

    Raises:
        UserError: there are not one or three; or, when images come, they have no such channel.
    """

    def __init__(self, of: FeatureExtractor, channels: tuple[int, ...]) -> None:
        super().__init__()
        check_chosen(channels)
        self.of, self.channels = of, tuple(channels)
        self.num_features, self.weights_hash = of.num_features, of.weights_hash
        self.content, self.any_images = of.content, of.any_images
        self.resize = f"channels {','.join(map(str, channels))}, {of.resize}"

    def fits(self, content: str | None, option: str = "--evaluation.extractor") -> bool:
        """Returns whether the other extractor's features mean something for images of that content."""
        return self.of.fits(content, f"{option}.of")

    def check_channels(self, channels: int) -> None:
        """Refuses images that lack one of the channels.

        Raises:
            UserError: they do.
        """
        chosen(torch.empty(0, channels, 0, 0), self.channels)

    def extract(self, images: Tensor) -> Tensor:
        """Maps (N, C, H, W) uint8 images of any size -> (N, num_features) float32."""
        features: Tensor = self.of(chosen(images, self.channels))
        return features

    def classify(self, features: Tensor) -> Tensor | None:
        """Maps (N, num_features) features -> what the other extractor makes of them."""
        return self.of.classify(features)

    @property
    def fingerprint(self) -> str:
        """That of the other extractor, and the channels."""
        return f"{self.of.fingerprint}-{self.channels}"

    def protocol(self) -> dict[str, object]:
        """Returns what the other extractor says, and the channels."""
        return {**self.of.protocol(), "channels": list(self.channels)}
