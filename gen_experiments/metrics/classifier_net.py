"""The network that `fit --config configs/extractor.yaml` trains, and in whose features `TrainedFeatures` compares."""

from torch import Tensor, nn

from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import ImageSpec
from gen_experiments.metrics.network_inputs import convert_images
from gen_experiments.precision import CastsInputs
from gen_experiments.sizes import in_words

MIN_CLASSES = 2
MIN_SIZE = 4  # height and width of the last convolutions


class ClassifierNet(CastsInputs):
    """A small residual classifier, normalised before each convolution, with one layer of features before its last.

    A convolution to `width` channels, then a block of two convolutions at each size from the full one down to four to
    seven pixels a side (the shorter), of twice as many channels at each halving up to four times `width`, the mean, and
    two linear layers.

    Args:
        image: what the images are like; they need labels.
        width: channels at full size; >= 1.
        dim: the features.
        dropout: share of the features that is left out in training; in [0, 1).

    Raises:
        UserError: a number out of range, images without labels, of one class, or smaller than four pixels.
    """

    def __init__(self, image: ImageSpec, width: int = 32, dim: int = 128, dropout: float = 0.0) -> None:
        super().__init__()
        check_interval("[1, inf)", width=width, dim=dim)
        check_interval("[0, 1)", dropout=dropout)
        if image.num_classes is None:
            raise UserError("a classifier needs images with labels: choose a data source with classes")
        if image.num_classes < MIN_CLASSES:
            raise UserError(f"a classifier tells {MIN_CLASSES} classes or more apart, and these images are of one")
        if image.shorter < MIN_SIZE:
            raise UserError(f"a classifier needs images of {MIN_SIZE} pixels or more, not {in_words(image.size)}")
        self.image, self.dim = image, dim
        layers: list[nn.Module] = [nn.Conv2d(image.channels, width, 3, padding=1, bias=False), _Block(width, width, 1)]
        channels, size = width, image.shorter
        while size >= 2 * MIN_SIZE:
            wider = min(2 * channels, 4 * width)
            layers.append(_Block(channels, wider, 2))
            channels, size = wider, (size + 1) // 2
        layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.layers = nn.Sequential(*layers, nn.Linear(channels, dim), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(dim, image.num_classes)

    def prepare(self, images: Tensor) -> Tensor:
        """Maps (N, 1 or 3, h, w) in [0, 255], of any dtype -> (N, C, H, W) float32 in [-1, 1], as in training."""
        return convert_images(images, self.image.channels, (self.image.height, self.image.width)) / 127.5 - 1.0

    def features(self, images: Tensor) -> Tensor:
        """Maps (N, C, H, W) in [-1, 1] -> (N, dim), not negative."""
        features: Tensor = self.layers(images)
        return features

    def activations(self, images: Tensor) -> list[Tensor]:
        """Maps (N, C, H, W) in [-1, 1] -> what each block convolves, and the last what is averaged: (N, c, h, w) each.

        These are all features behind norm and ReLU at whole depths, the largest first; none is negative.
        """
        values, stages = images, []
        for layer in self.layers:
            if isinstance(layer, nn.AdaptiveAvgPool2d):
                break
            if isinstance(layer, _Block):
                stages.append(layer.first(values))
            values = layer(values)
        return [*stages, values]

    def forward(self, images: Tensor) -> Tensor:
        """Maps (N, C, H, W) in [-1, 1] -> (N, num_classes) logits."""
        logits: Tensor = self.head(self.features(images))
        return logits


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
        self.convolutions = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
        )
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        activated = self.first(values)
        summed: Tensor = self.convolutions(activated) + self.shortcut(activated)
        return summed
