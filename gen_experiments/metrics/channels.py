"""Features of chosen channels of images."""

import torch
from torch import Tensor

from gen_experiments.channels import check_chosen, choose_channels
from gen_experiments.metrics.features import FeatureExtractor


class ChosenChannels(FeatureExtractor):
    """Another extractor's features of one or three chosen channels of the images.

    `[0, 1, 2]` takes the colours of images with alpha; `[0, 1, 1]` shows the first of two stains as red and the second
    as green and blue. Distances are comparable only under the same choice, which is part of every record.

    Args:
        of: the extractor that sees the channels.
        channels: one or three of the images' channels, counted from 0; a channel may be repeated.

    Raises:
        UserError: there are not one or three; or, later, the images lack one of them.
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
            UserError: the images lack a channel.
        """
        choose_channels(torch.empty(0, channels, 0, 0), self.channels)

    def extract(self, images: Tensor) -> Tensor:
        """Maps (N, C, H, W) uint8 images of any size -> (N, num_features) float32."""
        features: Tensor = self.of(choose_channels(images, self.channels))
        return features

    def classify(self, features: Tensor) -> Tensor | None:
        """Maps (N, num_features) features -> the other extractor's logits, or None."""
        return self.of.classify(features)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the other extractor, with the channels."""
        return f"{self.of.fingerprint}-{self.channels}"

    def protocol(self) -> dict[str, object]:
        """Returns the protocol of the other extractor, with the channels."""
        return {**self.of.protocol(), "channels": list(self.channels)}
