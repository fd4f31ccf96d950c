"""CUT (https://arxiv.org/abs/2007.15651): unpaired translation in one direction, without a cycle."""

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from gen_experiments.contracts import require_shape
from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.base import AdversarialLoss
from gen_experiments.losses.contrastive import patch_nce
from gen_experiments.losses.reconstruction import ReconstructionLoss
from gen_experiments.models.averaged_translator import source_images_of, translate_images
from gen_experiments.models.translation import DiscriminatorInputs, TranslationModel
from gen_experiments.networks.base import DiscriminatorFactory, StagedTranslator, TranslatorFactory
from gen_experiments.networks.projector import PatchProjector, draw_places
from gen_experiments.training.discriminator_loss import discriminator_logits
from gen_experiments.training.optimizers import OptimizerFactory, trainable_parameters

TEMPERATURE = 0.07


class CUT(TranslationModel):
    """Trains one generator by a discriminator and by a contrastive loss between places of source and translation.

    The loss compares features of the generator's own stages, of the source and of its translation; with `identity` also
    of a target picture and of what the generator makes of it, and the mean of both counts. An iteration makes one step
    of the discriminator, then one of the generator and the projector. Only whole passes of the generator are compiled.

    Args:
        image: what the images are like; the command line links it from the data.
        generator: images to images, by stages, such as ResNetTranslator.
        discriminator: images, and labels if it is conditional, to logits, such as PatchDiscriminator.
        loss: what the two minimise against each other; the paper's is LeastSquares. Here the generator's part of it has
            a factor of ½, which the authors' code leaves out: halve the weight of the contrast.
        optimizer_g: makes the optimizer of generator and projector.
        optimizer_d: makes the discriminator's optimizer.
        contrast: the weight of the contrastive loss.
        identity: whether the contrast counts for target pictures too; CUT does so, FastCUT not.
        unchanged: the distance of a target picture and what the generator makes of it, such as L1: CycleGAN's identity
            term, which keeps colours. Not in the paper; needs `identity`.
        stages: of the generator, 0 for the pixels. By default the pixels, both halvings and the first and fifth block
            of 9, as in the paper, there before normalisation.
        patches: places that are compared at each stage.
        width: units of the projector's layers.
        options: penalties, moving averages, learning rates, augmentation and compilation, as for `TranslationModel`.

    Raises:
        UserError: a number out of range, or the generator has no such stages.
    """

    needs_pairs: ClassVar[bool] = False
    score_without_fid: ClassVar[tuple[str, str] | None] = None

    def __init__(
        self,
        image: ImageSpec,
        generator: TranslatorFactory,
        discriminator: DiscriminatorFactory,
        loss: AdversarialLoss,
        optimizer_g: OptimizerFactory,
        optimizer_d: OptimizerFactory,
        contrast: float = 1.0,
        identity: bool = True,
        unchanged: ReconstructionLoss | None = None,
        stages: tuple[int, ...] = (0, 2, 3, 4, 8),
        patches: int = 256,
        width: int = 256,
        **options: Any,
    ) -> None:
        super().__init__(image, loss, optimizer_g, optimizer_d, **options)
        check_interval("[0, inf)", contrast=contrast)
        check_interval("[2, inf)", patches=patches)
        if unchanged is not None and not identity:
            raise UserError("unchanged compares target pictures, which the generator gets with identity alone: set it")
        self.contrast, self.identity, self.stages, self.patches = contrast, identity, tuple(sorted(stages)), patches
        self.unchanged = unchanged
        network = generator(image)
        if not isinstance(network, StagedTranslator):
            raise UserError(
                f"CUT compares features of stages, which {type(network).__name__} has not: ResNetTranslator"
            )
        channels = network.feature_channels
        if not stages or self.stages[0] < 0 or self.stages[-1] >= len(channels):
            raise UserError(f"stages must be some of 0 to {len(channels) - 1} for this generator, not {list(stages)}")
        self.projector = PatchProjector([channels[stage] for stage in self.stages], width)
        self.add_networks([network], [discriminator(image)])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Makes one step of the discriminator and one of generator and projector."""
        sources, rng = source_images_of(batch), self.iteration_rng()
        fake = translate_images(self.generators[0], sources)
        logits = partial(discriminator_logits, self.discriminators[0], batch.labels)
        inputs = {"": DiscriminatorInputs(logits, batch.images, fake)}
        logs = self.discriminator_step(inputs, rng)
        contrasts = [self._contrast(sources, fake, rng)]
        terms: dict[str, Tensor] = {}
        if self.identity:
            again = translate_images(self.generators[0], batch.images)
            contrasts.append(self._contrast(batch.images, again, rng))
            if self.unchanged is not None:
                terms["unchanged"] = self.unchanged(again, batch.images)
        terms["contrast"] = self.contrast * torch.stack(contrasts).mean()
        logs |= self.generator_step(inputs, terms)
        return self.end_iteration(batch, logs)

    def _contrast(self, sources: Tensor, translations: Tensor, rng: torch.Generator) -> Tensor:
        """Returns the mean over the stages of the contrastive loss between sources and their translations."""
        generator = self.generators[0]
        assert isinstance(generator, StagedTranslator)
        keys, queries = (generator.features(images, self.stages) for images in (sources, translations))
        for stage, key in zip(self.stages, keys, strict=True):
            shape = (len(sources), generator.feature_channels[stage], *getattr(key, "shape", ())[2:])
            require_shape(key, shape, f"stage {stage} of {type(generator).__name__}.features")
        places = draw_places(keys, self.patches, rng)
        pairs = zip(self.projector(*queries, places=places), self.projector(*keys, places=places), strict=True)
        return torch.stack([patch_nce(query, key, TEMPERATURE) for query, key in pairs]).mean()

    def configure_optimizers(self) -> list[Optimizer]:
        """Returns the optimizers of generator and projector, whose steps count, and of the discriminator."""
        weights = [*self.generators.parameters(), *self.projector.parameters()]
        return self.scheduled(self.optimizer_g(weights), self.optimizer_d(trainable_parameters(self.discriminators)))
