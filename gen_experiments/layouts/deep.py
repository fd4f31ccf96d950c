"""What the layouts of taming-transformers and LlamaGen share: networks that `DeepEncoder` and `DeepDecoder` are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from gen_experiments.layouts.base import Inexpressible, Layout, Offer, unused

# The projects' group norm has 32 groups, `blocks.group_norm` that many from 128 channels on.
GROUPS, FEWEST_CHANNELS = 32, 128
BLOCK = {
    "norm1": "layers.0",
    "conv1": "layers.2",
    "norm2": "layers.3",
    "conv2": "layers.5",
    "nin_shortcut": "shortcut",
}
PARTS = {"block": BLOCK, "attention": {"norm": "norm", "proj_out": "output"}, "nothing": {}}
# Hits of a loaded code: far more than of one that is used as often as the others, so that no first batch revives it.
HITS = 1000.0

Kind = Literal["convolution", "block", "attention", "norm", "nothing"]


class Step(NamedTuple):
    """One layer of our stack, and the beginning of its weights' names in the project."""

    kind: Kind
    name: str = ""


@dataclass(frozen=True)
class Half:
    """An encoder or a decoder.

    Attributes:
        steps: the layers in their order.
        attends: whether each resolution has attention, from the image's on.
        blocks: residual blocks at each resolution.
    """

    steps: list[Step]
    attends: list[bool]
    blocks: int


class DeepLayout(Layout):
    """A VQGAN's encoder, codebook and decoder; a subclass says what their parts are called.

    Attributes:
        levels: the names of a resolution, of the encoder and the decoder, with a place for its number.
        block: the name of a resolution's residual blocks.
        middle: the names of the middle's block, attention and block.
        top_first: whether the decoder counts its resolutions from the image's.
        cosine: whether latents and codes are normalised to length one.
    """

    levels: ClassVar[tuple[str, str]]
    block: ClassVar[str]
    middle: ClassVar[tuple[str, str, str]]
    top_first: ClassVar[bool]
    cosine: ClassVar[bool]

    def offer(self, held: Mapping[str, Tensor]) -> Offer:
        """Returns the weights as `encoder.`, `quantizer.` and `decoder.` of a `VQVAE`.

        The codes count as learned: k-means does not start them anew, and none is revived before it was unused for long.
        """
        codebook = self._codebook(held)
        channels = self._level_channels(held)
        encoder, decoder = (self._half(held, half, len(channels)) for half in ("encoder", "decoder"))
        used = {"quantize.embedding.weight"}
        weights = _renamed(held, encoder.steps, "encoder.layers", used)
        weights |= _renamed(held, decoder.steps, "decoder.layers", used)
        hits = codebook.new_full((len(codebook),), HITS, dtype=torch.float32)
        return Offer(
            weights | {"quantizer.codebook": codebook},
            ("encoder.", "quantizer.", "decoder."),
            _sizes(held, encoder, codebook, channels),
            state={
                "quantizer.hits": hits,
                "quantizer.sums": codebook.float() * hits[:, None],  # of `EMAQuantizer`, whose codes are means
                "quantizer._extra_state": torch.tensor(1),
            },
            requires={"quantizer.cosine": self.cosine},
            unused=unused(held, used),
        )

    def _codebook(self, held: Mapping[str, Tensor]) -> Tensor:
        if "quantize.embedding.weight" not in held:
            other = "of a Gumbel softmax" if "quantize.embed.weight" in held else "none (a KL autoencoder)"
            raise Inexpressible(f"its codebook is {other}, and a quantizer here looks up the nearest code")
        for name in held:
            batch_norm = name.endswith("running_mean") and name.startswith(("encoder.", "decoder."))
            if "conv_shortcut" in name or batch_norm:
                raise Inexpressible(f"DeepEncoder and DeepDecoder have no layer like {name}")
        return held["quantize.embedding.weight"]

    def _level_channels(self, held: Mapping[str, Tensor]) -> list[int]:
        """Returns the channels at each resolution of the encoder, the image's first."""
        found: list[int] = []
        template = f"{self.levels[0]}.{self.block}.0.conv1.weight"
        while (name := template.format(len(found))) in held:
            found.append(len(held[name]))
        if not found:
            raise Inexpressible(f"it lacks {template.format(0)}")
        fewest = min([len(held.get("encoder.conv_in.weight", ())), *found])
        if fewest < FEWEST_CHANNELS:
            raise Inexpressible(
                f"it normalises {fewest} channels in {GROUPS} groups, which ours do from 128 channels on"
            )
        return found

    def _half(self, held: Mapping[str, Tensor], half: str, count: int) -> Half:
        encodes = half == "encoder"
        steps: list[Step] = []
        attends: list[bool] = []
        blocks = 0
        for level in range(count) if encodes else reversed(range(count)):
            number = level if encodes or self.top_first else count - 1 - level
            prefix = self.levels[0 if encodes else 1].format(number)
            blocks = 0
            while f"{prefix}.{self.block}.{blocks}.conv1.weight" in held:
                attention = f"{prefix}.attn.{blocks}"
                steps += [Step("block", f"{prefix}.{self.block}.{blocks}")]
                steps += [Step("attention", attention)] if f"{attention}.q.weight" in held else []
                blocks += 1
            attends.append(f"{prefix}.attn.0.q.weight" in held)
            if level != (count - 1 if encodes else 0):
                # Zeros around the convolution of stride 2, or the nearest-neighbour enlargement.
                sampling = f"{prefix}.{'downsample' if encodes else 'upsample'}.conv"
                steps += [Step("nothing"), Step("convolution", sampling)]
        attends = attends if encodes else attends[::-1]
        if not attends[-1]:
            raise Inexpressible(
                "it attends in the middle but not at the smallest resolution: ours attend in both or neither"
            )
        first, attention, last = (f"{half}.{name}" for name in self.middle)
        middle = [Step("block", first), Step("attention", attention), Step("block", last)]
        start, end = Step("convolution", f"{half}.conv_in"), [Step("norm", f"{half}.norm_out"), Step("nothing")]
        end += [Step("convolution", f"{half}.conv_out")]
        if encodes:
            return Half([start, *steps, *middle, *end, Step("convolution", "quant_conv")], attends, blocks)
        return Half([Step("convolution", "post_quant_conv"), start, *middle, *steps, *end], attends, blocks)


def _renamed(held: Mapping[str, Tensor], steps: Sequence[Step], stack: str, used: set[str]) -> dict[str, Tensor]:
    """Returns the weights of a stack by their names in ours; adds their names in the file to `used`."""

    def taken(name: str) -> Tensor:
        if name not in held:
            raise Inexpressible(f"it lacks {name}")
        used.add(name)
        return held[name]

    found: dict[str, Tensor] = {}
    for number, (kind, name) in enumerate(steps):
        parts = PARTS.get(kind, {"": ""})
        for theirs, ours in parts.items():
            if theirs == "nin_shortcut" and f"{name}.{theirs}.weight" not in held:
                continue
            for weight in ("weight", "bias"):
                source = ".".join(filter(None, (name, theirs, weight)))
                found[".".join(filter(None, (stack, str(number), ours, weight)))] = taken(source)
        if kind == "attention":
            for weight in ("weight", "bias"):
                inputs = [taken(f"{name}.{each}.{weight}") for each in "qkv"]
                found[f"{stack}.{number}.inputs.{weight}"] = torch.cat(inputs)
    return found


def _sizes(held: Mapping[str, Tensor], encoder: Half, codebook: Tensor, channels: list[int]) -> str:
    width, latent = len(held["encoder.conv_in.weight"]), len(held["encoder.conv_out.weight"])
    multipliers = [level // width for level in channels]
    attends = [f"1/{2**halvings} of the image" for halvings, attends in enumerate(encoder.attends) if attends]
    codes, dim = codebook.shape
    return (
        f"encoder and decoder need width={width}, multipliers={multipliers}, blocks={encoder.blocks}, "
        f"latent_channels={latent} and attention at {' and '.join(attends)}, the quantizer num_codes={codes}, dim={dim}"
    )
