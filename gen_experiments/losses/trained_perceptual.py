"""The distance of images in the features of a classifier that was trained on the user's own images."""

import torch
from torch import Tensor

from gen_experiments.errors import UserError, check_interval
from gen_experiments.losses.frozen_networks import building_frozen
from gen_experiments.losses.reconstruction import L1, ReconstructionLoss
from gen_experiments.metrics.trained import TrainedFeatures

# Below the root of a squared length, as in the LPIPS of torchmetrics: 0 has a slope, and small lengths no huge one.
EPSILON = 1e-8


class TrainedPerceptual(ReconstructionLoss):
    """weight · d(x̂, x) + pixel(x̂, x), d a distance by a classifier that `configs/extractor.yaml` has trained.

    `Perceptual` knows photographs; this is for images unlike them, and needs no weights from elsewhere. d has the
    formula of LPIPS without its learned weights of the channels (`feature_distance`), between the classifier's
    features at every depth (`ClassifierNet.activations`); its mean over the images is taken.

    Images are brought to the classifier's size and channels. The classifier is frozen, computes in float32 under any
    autocast, and is no part of the model: checkpoints, moving averages and the gradients of processes do not contain
    it. It is loaded at the first use, on the images' device, so that a model can be rebuilt without it.

    A model that is trained by a classifier must be scored by another one (`TrainedFeatures`), which has seen neither
    the same weights nor, preferably, the same images.

    Args:
        weights: a checkpoint of a `Classifier`, its run (the best checkpoint) or its export.
        pixel: an additional distance of pixels; by default L1 of weight 1.
        weight: the factor of d; >= 0.

    Raises:
        UserError: a negative weight; or, at the first use, there is no such classifier, or it takes other channels.
    """

    def __init__(self, weights: str, pixel: ReconstructionLoss | None = None, weight: float = 1.0) -> None:
        check_interval("[0, inf)", weight=weight)
        self.weights, self.weight = weights, weight
        self.pixel = L1() if pixel is None else pixel
        self._features: TrainedFeatures | None = None

    def __call__(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Returns the weighted sum of both distances."""
        return self.weight * self.distances(reconstruction, images).mean() + self.pixel(reconstruction, images)

    def distances(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Returns d of each of (B, C, H, W) reconstructions and its image, in [-1, 1]: (B,) float32, >= 0."""
        features = self._features_on(images.device)
        if images.shape[1] not in features.takes:
            taken = " or ".join(map(str, features.takes))
            raise UserError(
                f"the classifier {self.weights} compares images of {taken} channels, not {images.shape[1]}: "
                "train one on images like these by configs/extractor.yaml"
            )
        network = features.network
        with torch.autocast(images.device.type, enabled=False):
            # Plain bytes would have no gradient: the same scale, not rounded.
            first, second = (
                network.activations(network.prepare((side.float() + 1) * 127.5)) for side in (reconstruction, images)
            )
            return feature_distance(first, second)

    def _features_on(self, device: torch.device) -> TrainedFeatures:
        with building_frozen():
            if self._features is None:
                self._features = TrainedFeatures(self.weights)
            self._features.to(device)
        return self._features


def feature_distance(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """Returns how far apart images are in a network's features, by the formula of LPIPS with all learned weights 1.

    Features of each place are divided by their length; squared differences are summed over channels, averaged over
    places and summed over depths (https://arxiv.org/abs/1801.03924, equation 1).

    Args:
        first: (B, c, h, w) features at each depth.
        second: those of the other images.

    Returns:
        (B,), >= 0; 2 at most for each depth whose features are not negative.
    """
    distances = []
    for pair in zip(first, second, strict=True):
        one, other = (values / (EPSILON + values.square().sum(1, keepdim=True)).sqrt() for values in pair)
        distances.append((one - other).square().sum(1).mean((1, 2)))
    return torch.stack(distances).sum(0)
