"""Labels as inputs of networks, and networks without labels."""

import torch
from torch import Tensor, nn

from gen_experiments import distributed
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec


def classes_of(image: ImageSpec, conditional: bool) -> int | None:
    """Returns the number of classes of a network: that of the data if it is `conditional`, else None.

    Raises:
        UserError: a conditional network for data without labels.
    """
    if conditional and image.num_classes is None:
        raise UserError(
            "a conditional network needs data with labels: set conditional to false or choose labelled data"
        )
    return image.num_classes if conditional else None


def check_labels_of_pair(generator: nn.Module, discriminator: nn.Module) -> None:
    """Refuses a conditional discriminator beside a generator that is not, and warns of the reverse.

    Raises:
        UserError: the generator is not given the labels that its images are judged by.
    """
    made, judged = (getattr(network, "num_classes", None) for network in (generator, discriminator))
    if judged is not None and made is None:
        raise UserError(
            "the discriminator judges images together with labels that the generator is not given: set "
            "generator.conditional to true, or discriminator.conditional to false"
        )
    if made is not None and judged is None:
        distributed.warn_once(
            f"nothing teaches the generator its classes: {type(discriminator).__name__} judges images without their "
            "labels; set discriminator.conditional to true (a class of your own says so by num_classes)"
        )


class NoiseAndLabel(nn.Module):
    """Appends the embedding of a label, as long as the noise, to the noise; without classes returns the noise.

    Args:
        latent_dim: length of the noise.
        classes: number of classes, or None.
        std: the initial deviation of the embedding; by default small compared with the noise.

    Attributes:
        dim: length of the output.
    """

    def __init__(self, latent_dim: int, classes: int | None, std: float = 0.1) -> None:
        super().__init__()
        self.embedding = None if classes is None else nn.Embedding(classes, latent_dim)
        if self.embedding is not None:
            # Beside an embedding of the noise's size the generator ignores the noise: each class collapses to an image.
            nn.init.normal_(self.embedding.weight, std=std)
        self.dim = latent_dim if classes is None else 2 * latent_dim

    def forward(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Maps (B, latent_dim) noise and (B,) labels -> (B, dim)."""
        if self.embedding is None:
            return noise
        return torch.cat([noise, self.embedding(require_labels(labels))], dim=1)


class ConditionalNorm(nn.Module):
    """Batch norm whose factors and offsets depend on the label (https://arxiv.org/abs/1707.00683).

    Without classes it is plain batch norm; without batch norm only the factors and offsets remain.

    Args:
        channels: channels in and out.
        classes: number of classes, or None.
        batch_norm: normalise by the statistics of the batch.
    """

    def __init__(self, channels: int, classes: int | None, batch_norm: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=classes is None) if batch_norm else nn.Identity()
        self.affine = None if classes is None else nn.Embedding(classes, 2 * channels)
        if self.affine is not None:
            nn.init.ones_(self.affine.weight[:, :channels])
            nn.init.zeros_(self.affine.weight[:, channels:])

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Maps (B, channels, h, w) and (B,) labels -> the same shape."""
        normalised: Tensor = self.norm(x)
        if self.affine is None:
            return normalised
        affine: Tensor = self.affine(require_labels(labels))
        factor, offset = affine[:, :, None, None].chunk(2, dim=1)
        return normalised * factor + offset


class LogitHead(nn.Module):
    """Features to a logit: w·φ + b, plus for classes the projection e(y)·φ (https://arxiv.org/abs/1802.05637).

    Args:
        features: length of φ.
        classes: number of classes, or None.
    """

    def __init__(self, features: int, classes: int | None) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.embedding = None if classes is None else nn.Embedding(classes, features)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=features**-0.5)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Maps (B, features) and (B,) labels -> (B,) logits."""
        logits: Tensor = self.linear(features)[:, 0]
        if self.embedding is None:
            return logits
        embedded: Tensor = self.embedding(require_labels(labels))
        return logits + (embedded * features).sum(dim=1)


def require_labels(labels: Tensor | None) -> Tensor:
    """Returns the labels, which a conditional network needs.

    Raises:
        UserError: there are none.
    """
    if labels is None:
        raise UserError(
            "a conditional network needs the labels of its images: shuffled pairs have some only if they are shuffled "
            "within_classes, and CycleGAN's buffer (model.buffer) keeps none"
        )
    return labels
