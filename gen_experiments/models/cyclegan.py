"""CycleGAN (https://arxiv.org/abs/1703.10593): unpaired translation in both directions."""

from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.base import AdversarialLoss
from gen_experiments.losses.reconstruction import ReconstructionLoss
from gen_experiments.models.averaged_translator import source_images_of, translate_images
from gen_experiments.models.translation import DiscriminatorInputs, TranslationModel
from gen_experiments.networks.base import DiscriminatorFactory, TranslatorFactory
from gen_experiments.training.discriminator_loss import discriminator_logits
from gen_experiments.training.image_buffer import ImageBuffer
from gen_experiments.training.optimizers import OptimizerFactory


class CycleGAN(TranslationModel):
    """Trains two generators, A to B and B to A, each by a discriminator of its target side and by the cycle.

    A picture that is translated to the other side and back must be the same picture (`cycle`); a picture of the target
    side should stay unchanged (`identity`). No term compares a translation with the picture beside it in the batch, so
    that true pairs are not used; data of `PairedFolders` should be `shuffled` nevertheless. An iteration makes one step
    of the generators, then one of the discriminators.

    Args:
        image: what the images are like; the command line links it from the data.
        generator: images to images, such as ResNetTranslator; there are two.
        discriminator: images, and labels if it is conditional, to logits, such as PatchDiscriminator; there are two.
        loss: what they minimise against each other; the paper's is LeastSquares. Here, as in the LSGAN paper, the
            generator's part of it has a factor of ½, which CycleGAN's code leaves out: halve the weights of the cycle.
        cycle: the distance of a picture and its round trip; L1.
        optimizer_g: makes the optimizer of both generators.
        optimizer_d: makes the optimizer of both discriminators.
        identity: the distance of a picture and what the generator to its own side makes of it; None for none.
        buffer: earlier images that each discriminator sees again (`ImageBuffer`); 0 for none, as conditional ones
            need: it keeps no labels.
        options: penalties, moving averages, learning rates, augmentation and compilation, as for `TranslationModel`.
    """

    directions: ClassVar[tuple[str, ...]] = ("B", "A")
    needs_pairs: ClassVar[bool] = False
    score_without_fid: ClassVar[tuple[str, str] | None] = ("val/cycle_l1", "min")
    means: ClassVar[tuple[str, ...]] = ("cycle_l1",)

    def __init__(
        self,
        image: ImageSpec,
        generator: TranslatorFactory,
        discriminator: DiscriminatorFactory,
        loss: AdversarialLoss,
        cycle: ReconstructionLoss,
        optimizer_g: OptimizerFactory,
        optimizer_d: OptimizerFactory,
        identity: ReconstructionLoss | None = None,
        buffer: int = 50,
        **options: Any,
    ) -> None:
        super().__init__(image, loss, optimizer_g, optimizer_d, **options)
        self.cycle, self.identity, self._buffered = cycle, identity, buffer > 0
        generators, discriminators = [generator(image) for _ in "BA"], [discriminator(image) for _ in "BA"]
        self.add_networks(generators, discriminators)
        self.buffers_of_sides = nn.ModuleList(ImageBuffer(image, buffer) for _ in "BA")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Makes one step of both generators and one of both discriminators."""
        a, b, rng = source_images_of(batch), batch.images, self.iteration_rng()
        to_b, to_a = self.generators
        fake_b, fake_a = translate_images(to_b, a), translate_images(to_a, b)
        terms = {"cycle_a": self.cycle(to_a(fake_b), a), "cycle_b": self.cycle(to_b(fake_a), b)}
        if self.identity is not None:
            terms |= {"identity_a": self.identity(to_a(a), a), "identity_b": self.identity(to_b(b), b)}
        past_b, past_a = (
            buffer(fake, rng) for buffer, fake in zip(self.buffers_of_sides, (fake_b, fake_a), strict=True)
        )
        # The buffer keeps no labels of what it returns.
        labels = None if self._buffered else batch.labels
        logits_b, logits_a = (
            partial(discriminator_logits, discriminator, labels) for discriminator in self.discriminators
        )
        inputs = {
            "_b": DiscriminatorInputs(logits_b, b, fake_b, past_b),
            "_a": DiscriminatorInputs(logits_a, a, fake_a, past_a),
        }
        logs = self.generator_step(inputs, terms)
        logs |= self.discriminator_step(inputs, rng)
        return self.end_iteration(batch, logs)

    def evaluated(self, sources: Tensor, translations: Tensor) -> dict[str, Tensor]:
        """Returns the mean absolute difference of sources and their round trips, of pixels on a [0, 1] scale."""
        return {"cycle_l1": (self.translate(translations, "A") - sources).abs().mean() / 2}
