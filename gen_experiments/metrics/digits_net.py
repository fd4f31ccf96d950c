"""The network behind `DigitsFeatures`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 32
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


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
        values = images.to(torch.float32)
        if values.shape[1] == 3:
            values = torch.einsum("nchw,c->nhw", values, values.new_tensor(LUMINANCE))[:, None]
        if values.shape[-2:] != (SIZE, SIZE):
            values = F.interpolate(values, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
        return values / 127.5 - 1.0

    def features(self, prepared: Tensor) -> Tensor:
        """Maps (N, 1, 32, 32) -> (N, 64), not negative."""
        features: Tensor = self.layers(prepared)
        return features

    def forward(self, prepared: Tensor) -> Tensor:
        """Maps (N, 1, 32, 32) -> (N, classes) logits."""
        logits: Tensor = self.head(self.features(prepared))
        return logits


def _stage(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
