"""The network behind `DigitsFeatures`."""

from torch import Tensor, nn

from gen_experiments.metrics.network_inputs import convert_images

SIZE = 32


class DigitsNet(nn.Module):
    """A convolutional classifier, of handwritten digits by default, with 64 features before its last layer.

    Args:
        classes: number of labels.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_stage(1, 16),
            *_stage(16, 32, stride=2),
            *_stage(32, 64),
            *_stage(64, 64, stride=2),
            *_stage(64, 64, stride=2),
            nn.AvgPool2d(SIZE // 8),
            nn.Flatten(),
            nn.Linear(64, 64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, classes)

    @staticmethod
    def prepare(images: Tensor) -> Tensor:
        """Maps (N, 1 or 3, H, W) uint8 -> (N, 1, 32, 32) float32 in about [-1, 1], grey, resized with antialiasing."""
        return convert_images(images, 1, (SIZE, SIZE)) / 127.5 - 1.0

    def features(self, images: Tensor) -> Tensor:
        """Maps (N, 1, 32, 32) -> (N, 64), not negative."""
        features: Tensor = self.layers(images)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Maps (N, 1, 32, 32) -> (N, classes) logits."""
        logits: Tensor = self.head(self.features(images))
        return logits


def _stage(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
