"""MUNIT (https://arxiv.org/abs/1804.04732): unpaired translation in the style of a given picture."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, l1_loss

from gen_experiments import randomness
from gen_experiments.contracts import require_shape
from gen_experiments.errors import check_interval
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.base import AdversarialLoss
from gen_experiments.losses.reconstruction import ReconstructionLoss
from gen_experiments.models.averaged_translator import source_images_of
from gen_experiments.models.translation import DiscriminatorInputs, TranslationModel
from gen_experiments.networks.base import DiscriminatorFactory, StyledAutoencoder, StyledAutoencoderFactory
from gen_experiments.precision import at_least_float32
from gen_experiments.pure_functions import PureFunction, example_images
from gen_experiments.randomness import Stream
from gen_experiments.training.discriminator_loss import discriminator_logits
from gen_experiments.training.optimizers import OptimizerFactory

MAX_SCALES = 8


class MUNIT(TranslationModel):
    """Trains one autoencoder per side; both share the space of contents, and each has its own space of styles.

    A picture is translated by decoding its content on the other side, in a style that is drawn from a standard normal
    or encoded from a picture of that side. Content and style of a picture must reconstruct it (`reconstruction`). A
    translation in a drawn style must be encoded to the same content and style (`content`, `style`; L1, equations 3 and
    4). Each side has a discriminator. As in CycleGAN no term compares a translation with the picture beside it in the
    batch. An iteration makes one step of the discriminators, then one of the autoencoders. Evaluations draw a style for
    each picture.

    Args:
        image: what the images are like; the command line links it from the data.
        autoencoder: images to content and style and back, such as MUNITAutoencoder; there are two.
        discriminator: images to logits, such as PatchDiscriminator; there is one for each side and scale.
        loss: what they minimise against each other; the paper's is LeastSquares. Here both parts of it have a factor of
            ½, which the authors' code leaves out: halve all weights.
        reconstruction: the distance of a picture and its reconstruction; L1.
        optimizer_g: makes the optimizer of both autoencoders.
        optimizer_d: makes the optimizer of the discriminators.
        style: the weight of the recovery of the drawn style.
        content: the weight of the recovery of the content.
        cycle: the distance of a picture and its round trip in its own style; None for none.
        scales: resolutions of the discriminators, each half of the one before; their losses are added. The paper has 3.
        options: penalties, moving averages, learning rates, augmentation and compilation, as for `TranslationModel`.

    Raises:
        UserError: a number out of range.
    """

    directions: ClassVar[tuple[str, ...]] = ("B", "A")
    needs_pairs: ClassVar[bool] = False
    score_without_fid: ClassVar[tuple[str, str] | None] = ("val/cycle_l1", "min")
    means: ClassVar[tuple[str, ...]] = ("cycle_l1",)

    def __init__(
        self,
        image: ImageSpec,
        autoencoder: StyledAutoencoderFactory,
        discriminator: DiscriminatorFactory,
        loss: AdversarialLoss,
        reconstruction: ReconstructionLoss,
        optimizer_g: OptimizerFactory,
        optimizer_d: OptimizerFactory,
        style: float = 1.0,
        content: float = 1.0,
        cycle: ReconstructionLoss | None = None,
        scales: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(image, loss, optimizer_g, optimizer_d, **options)
        check_interval("[0, inf)", style=style, content=content)
        check_interval(f"[1, {MAX_SCALES}]", scales=scales)
        self.reconstruction, self.cycle = reconstruction, cycle
        self.style, self.content, self.scales = style, content, scales
        specs = [replace(image, size=(-(-image.height >> scale), -(-image.width >> scale))) for scale in range(scales)]
        self.add_networks(
            [autoencoder(image) for _ in self.directions],
            [discriminator(spec) for _ in self.directions for spec in specs],
        )

    def networks_called(self, generator: nn.Module) -> Iterable[nn.Module]:
        """Returns the parts of an autoencoder, which is never called as a whole."""
        return generator.children()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Makes one step of the discriminators and one of the autoencoders."""
        images, rng = (batch.images, source_images_of(batch)), self.iteration_rng()  # in the order of the directions
        networks = [_as_styled(network) for network in self.generators]
        contents = [network.content(part) for network, part in zip(networks, images, strict=True)]
        styles = [network.style(part) for network, part in zip(networks, images, strict=True)]
        drawn = [randomness.randn_rows(len(batch.images), network.style_dim, rng=rng) for network in networks]
        fakes = [network.decode(contents[1 - side], drawn[side]) for side, network in enumerate(networks)]
        for network, style, picture in zip(networks, styles, fakes, strict=True):
            name = f"the result of {type(network).__name__}"
            require_shape(style, (len(batch.images), network.style_dim), f"{name}.style")
            require_shape(picture, tuple(batch.images.shape), f"{name}.decode")
        inputs = self._discriminator_inputs(images, fakes, batch.labels)
        logs = self.discriminator_step(inputs, rng)
        terms: dict[str, Tensor] = {}
        for side, network in enumerate(networks):
            here, there = ("_b", "_a")[side], ("_a", "_b")[side]
            again = network.content(fakes[side])
            terms |= {
                f"reconstruction{here}": self.reconstruction(
                    network.decode(contents[side], styles[side]), images[side]
                ),
                f"style{here}": self.style * l1_loss(network.style(fakes[side]), drawn[side]),
                f"content{there}": self.content * l1_loss(again, contents[1 - side]),
            }
            if self.cycle is not None:
                back = networks[1 - side].decode(again, styles[1 - side])
                terms[f"cycle{there}"] = self.cycle(back, images[1 - side])
        logs |= self.generator_step(inputs, terms)
        return self.end_iteration(batch, logs)

    def _discriminator_inputs(
        self, images: tuple[Tensor, ...], fakes: list[Tensor], labels: Tensor | None
    ) -> dict[str, DiscriminatorInputs]:
        """Returns the inputs of the discriminators of each side and scale."""
        inputs, discriminators = {}, iter(self.discriminators)
        for side, name in enumerate(("_b", "_a")):
            for scale in range(self.scales):
                logits = partial(self._logits_at, scale, next(discriminators), labels)
                of_scale = f"{name}{2**scale if scale else ''}"
                inputs[of_scale] = DiscriminatorInputs(logits, images[side], fakes[side])
        return inputs

    def _logits_at(self, scale: int, discriminator: nn.Module, labels: Tensor | None, images: Tensor) -> Tensor:
        """Returns the logits of images halved `scale` times; a mean at the border is that of the pixels inside."""
        for _ in range(scale):
            images = avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)
        return discriminator_logits(discriminator, labels, images)

    def translate(self, images: Tensor, to: str | None = None, styles: Tensor | None = None) -> Tensor:
        """Turns (B, C, H, W) images in [-1, 1] into the side `to`, the first direction by default; same shape.

        Args:
            images: of the other side.
            to: the side.
            styles: (B, style_dim) of that side, or (1, style_dim) for all images; None for the first drawn one of seed
                0, as in the command `translate`.

        Raises:
            UserError: the model has no such direction.
        """
        place = self.place_of(to)
        into, out_of = self._average(place), self._average(1 - place)
        if styles is None:
            styles = self.drawn_styles(torch.zeros(1, dtype=torch.int64), to=to)
        return at_least_float32(into.decode(out_of.content(images), styles.expand(len(images), -1)))

    def styles_of(self, images: Tensor, to: str | None = None) -> Tensor:
        """Returns the (B, style_dim) styles of (B, C, H, W) images of the side `to`; see `translate`."""
        return at_least_float32(self._average(self.place_of(to)).style(images))

    def drawn_styles(self, numbers: Tensor, seed: int = 0, to: str | None = None) -> Tensor:
        """Returns styles of the side `to`, drawn from a standard normal.

        Args:
            numbers: (B,) int64, of the styles in the endless sequence of a seed.
            seed: names the sequence.
            to: the side, the first direction by default.

        Returns:
            (B, style_dim); each row depends on its number and the seed alone.

        Raises:
            UserError: the model has no such direction.
        """
        seeds = randomness.seeds_of(numbers.to(self.device), Stream.STYLE, seed)
        return randomness.normal_of(seeds, self._average(self.place_of(to)).style_dim)

    def translate_batch(self, batch: Batch) -> Tensor:
        """Returns the translations of a batch, each in the style with the number of its place, of seed 0."""
        return self.translate(source_images_of(batch), styles=self.drawn_styles(batch.places))

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns for each direction `to_b`, images and styles -> translations, and `styles_b`, images -> styles."""
        images = example_images(self.image)
        functions = {}
        for place, side in enumerate(self.directions):
            into, out_of = self._average(place), self._average(1 - place)
            inputs = {
                "images": images,
                "styles": torch.randn(3, into.style_dim, generator=torch.Generator().manual_seed(place)),
            }
            computed = partial(_restyle, into, out_of)
            functions[f"to_{side.lower()}"] = PureFunction(computed, (into, out_of), inputs, ("translations",))
            functions[f"styles_{side.lower()}"] = PureFunction(into.style, (into,), {"images": images}, ("styles",))
        return functions

    def evaluated(self, sources: Tensor, translations: Tensor) -> dict[str, Tensor]:
        """Returns the mean absolute difference of sources and their round trips in their styles, on a [0, 1] scale."""
        back = self.translate(translations, "A", self.styles_of(sources, "A"))
        return {"cycle_l1": (back - sources).abs().mean() / 2}

    def _average(self, place: int) -> StyledAutoencoder:
        return _as_styled(self.averages[place].module)


def _as_styled(network: object) -> StyledAutoencoder:
    assert isinstance(network, StyledAutoencoder)
    return network


def _restyle(into: StyledAutoencoder, out_of: StyledAutoencoder, images: Tensor, styles: Tensor) -> Tensor:
    return into.decode(out_of.content(images), styles)
