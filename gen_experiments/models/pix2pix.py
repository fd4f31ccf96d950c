"""pix2pix (https://arxiv.org/abs/1611.07004): translation learnt from pairs."""

from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.base import AdversarialLoss
from gen_experiments.losses.reconstruction import ReconstructionLoss
from gen_experiments.models.averaged_translator import source_images_of, translate_images
from gen_experiments.models.translation import DiscriminatorInputs, TranslationModel
from gen_experiments.networks.base import DiscriminatorFactory, TranslatorFactory
from gen_experiments.training.discriminator_loss import discriminator_logits
from gen_experiments.training.optimizers import OptimizerFactory


class Pix2Pix(TranslationModel):
    """Trains a generator by the distance from the target of each pair, and by a discriminator of pairs.

    The discriminator sees a source and a picture together, in twice the channels, or the picture alone. An iteration
    makes one step of the discriminator, then one of the generator. Over data with `damage` the model learns to restore
    pictures.

    Args:
        image: what the images are like; the command line links it from the data.
        generator: sources to images, such as UNet.
        discriminator: images of twice the channels to logits, or of their own, such as PatchDiscriminator.
        loss: what the two minimise against each other.
        reconstruction: the distance of translation and target, such as L1 of weight 100, or Perceptual.
        optimizer_g: makes the generator's optimizer.
        optimizer_d: makes the discriminator's optimizer.
        conditional: whether the discriminator sees the source beside the picture; without, the paper's "L1+GAN", the
            reconstruction alone holds the two together, and a ProjectedDiscriminator can have the features of a VQ-VAE.
        options: penalties, moving averages, learning rates, augmentation and compilation, as for `TranslationModel`.
    """

    def __init__(
        self,
        image: ImageSpec,
        generator: TranslatorFactory,
        discriminator: DiscriminatorFactory,
        loss: AdversarialLoss,
        reconstruction: ReconstructionLoss,
        optimizer_g: OptimizerFactory,
        optimizer_d: OptimizerFactory,
        conditional: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(image, loss, optimizer_g, optimizer_d, **options)
        self.reconstruction, self.conditional = reconstruction, conditional
        judged = replace(image, channels=2 * image.channels) if conditional else image
        self.add_networks([generator(image)], [discriminator(judged)])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Makes one step of the discriminator and one of the generator."""
        sources = source_images_of(batch)
        fake = translate_images(self.generators[0], sources)
        condition = sources if self.conditional else None
        logits = partial(discriminator_logits, self.discriminators[0], batch.labels)
        inputs = {"": DiscriminatorInputs(logits, batch.images, fake, condition=condition)}
        logs = self.discriminator_step(inputs, self.iteration_rng())
        logs |= self.generator_step(inputs, {"reconstruction": self.reconstruction(fake, batch.images)})
        return self.end_iteration(batch, logs)
