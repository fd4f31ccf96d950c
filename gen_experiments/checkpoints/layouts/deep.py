"""What the layouts of VQGANs share: networks that `DeepEncoder` and `DeepDecoder` are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from gen_experiments.checkpoints.layouts.base import Converted, Layout, Unconvertible, unused

# The projects' group norm has 32 groups, `blocks.group_norm` that many from 128 channels on.
GROUPS, MIN_CHANNELS = 32, 128
BLOCK = {"norm1": "layers.0", "conv1": "layers.2", "norm2": "layers.3", "conv2": "layers.5"}
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
        middle_attends: whether the middle has.
        blocks: residual blocks at each resolution.
    """

    steps: list[Step]
    attends: list[bool]
    middle_attends: bool
    blocks: int


class DeepLayout(Layout):
    """A VQGAN's encoder, codebook and decoder; a subclass says what their parts are called.

    Attributes:
        levels: the names of a resolution, of the encoder and the decoder, with a place for its number.
        block: the name of a resolution's residual blocks.
        shortcut: the name of a block's 1×1 convolution beside the others.
        attention: the name of a resolution's attention.
        attention_parts: the names in it of its norm, query, key, value and output.
        samplings: the names of the convolutions that halve and double a resolution.
        middle: the names of the middle's block, attention and block.
        last_norm: the name of the norm before the last convolution.
        top_first: whether the decoder counts its resolutions from the image's.
        cosine: whether latents and codes are normalised to length one.
    """

    levels: ClassVar[tuple[str, str]]
    block: ClassVar[str]
    shortcut: ClassVar[str] = "nin_shortcut"
    attention: ClassVar[str] = "attn"
    attention_parts: ClassVar[tuple[str, str, str, str, str]] = ("norm", "q", "k", "v", "proj_out")
    samplings: ClassVar[tuple[str, str]] = ("downsample.conv", "upsample.conv")
    middle: ClassVar[tuple[str, str, str]]
    last_norm: ClassVar[str] = "norm_out"
    top_first: ClassVar[bool]
    cosine: ClassVar[bool]

    def convert(self, state: Mapping[str, Tensor]) -> Converted:
        """Returns the weights as `encoder.`, `quantizer.` and `decoder.` of a `VQVAE`.

        The codes count as learned: k-means does not start them anew, and none is revived before it was unused for long.
        """
        codebook = self._codebook(state)
        channels = self._level_channels(state)
        encoder, decoder = (self._half(state, half, len(channels)) for half in ("encoder", "decoder"))
        used = {"quantize.embedding.weight"}
        weights = self._rename(state, encoder.steps, "encoder.layers", used)
        weights |= self._rename(state, decoder.steps, "decoder.layers", used)
        left = unused(state, used)
        for name in left:
            if name.startswith(("encoder.", "decoder.")):
                raise Unconvertible(f"DeepEncoder and DeepDecoder have no layer like {name}")
        hits = codebook.new_full((len(codebook),), HITS, dtype=torch.float32)
        return Converted(
            weights | {"quantizer.codebook": codebook},
            ("encoder.", "quantizer.", "decoder."),
            _sizes(state, encoder, decoder, codebook, channels),
            state={
                "quantizer.hits": hits,
                "quantizer.sums": codebook.float() * hits[:, None],  # of `EMAQuantizer`, whose codes are means
                "quantizer._extra_state": torch.tensor(1),
            },
            requires={"quantizer.cosine": self.cosine},
            unused=left,
        )

    def _codebook(self, state: Mapping[str, Tensor]) -> Tensor:
        if "quantize.embedding.weight" not in state:
            other = "of a Gumbel softmax" if "quantize.embed.weight" in state else "none (a KL autoencoder)"
            raise Unconvertible(f"its codebook is {other}, and a quantizer here looks up the nearest code")
        return state["quantize.embedding.weight"]

    def _level_channels(self, state: Mapping[str, Tensor]) -> list[int]:
        """Returns the channels at each resolution of the encoder, the image's first."""
        widths: list[int] = []
        template = f"{self.levels[0]}.{self.block}.0.conv1.weight"
        while (name := template.format(len(widths))) in state:
            widths.append(len(state[name]))
        if not widths:
            raise Unconvertible(f"it lacks {template.format(0)}")
        width = len(state.get("encoder.conv_in.weight", ()))
        if min(width, *widths) < MIN_CHANNELS:
            raise Unconvertible(
                f"it normalises {min(width, *widths)} channels in {GROUPS} groups, which ours do from 128 channels on"
            )
        for channels in widths:
            if channels % width:
                raise Unconvertible(f"ours multiply the first {width} channels, of which {channels} are no multiple")
        return widths

    def _half(self, state: Mapping[str, Tensor], half: str, count: int) -> Half:
        encodes = half == "encoder"
        query = f"{self.attention_parts[1]}.weight"
        steps: list[Step] = []
        attends: list[bool] = []
        blocks = 0
        for level in range(count) if encodes else reversed(range(count)):
            number = level if encodes or self.top_first else count - 1 - level
            prefix = self.levels[0 if encodes else 1].format(number)
            blocks = 0
            while f"{prefix}.{self.block}.{blocks}.conv1.weight" in state:
                attention = f"{prefix}.{self.attention}.{blocks}"
                steps += [Step("block", f"{prefix}.{self.block}.{blocks}")]
                steps += [Step("attention", attention)] if f"{attention}.{query}" in state else []
                blocks += 1
            attends.append(f"{prefix}.{self.attention}.0.{query}" in state)
            if level != (count - 1 if encodes else 0):
                # Zeros around the convolution of stride 2, or the nearest-neighbour enlargement.
                steps += [Step("nothing"), Step("convolution", f"{prefix}.{self.samplings[0 if encodes else 1]}")]
        attends = attends if encodes else attends[::-1]
        first, attention, last = (f"{half}.{name}" for name in self.middle)
        middle_attends = f"{attention}.{query}" in state
        between = [Step("attention", attention)] if middle_attends else []
        middle = [Step("block", first), *between, Step("block", last)]
        start, end = Step("convolution", f"{half}.conv_in"), [Step("norm", f"{half}.{self.last_norm}"), Step("nothing")]
        end += [Step("convolution", f"{half}.conv_out")]
        if encodes:
            steps = [start, *steps, *middle, *end, Step("convolution", "quant_conv")]
        else:
            steps = [Step("convolution", "post_quant_conv"), start, *middle, *steps, *end]
        return Half(steps, attends, middle_attends, blocks)

    def _rename(
        self, state: Mapping[str, Tensor], steps: Sequence[Step], stack: str, used: set[str]
    ) -> dict[str, Tensor]:
        """Returns the weights of a stack by their names in ours; adds their names in the file to `used`."""

        def taken(name: str) -> Tensor:
            if name not in state:
                raise Unconvertible(f"it lacks {name}")
            used.add(name)
            return state[name]

        norm, *inputs, output = self.attention_parts
        parts = {
            "block": BLOCK | {self.shortcut: "shortcut"},
            "attention": {norm: "norm", output: "output"},
            "nothing": {},
        }
        renamed: dict[str, Tensor] = {}
        for number, (kind, name) in enumerate(steps):
            for theirs, ours in parts.get(kind, {"": ""}).items():
                if theirs == self.shortcut and f"{name}.{theirs}.weight" not in state:
                    continue
                for weight in ("weight", "bias"):
                    source = ".".join(filter(None, (name, theirs, weight)))
                    renamed[".".join(filter(None, (stack, str(number), ours, weight)))] = taken(source)
            if kind == "attention":
                for weight in ("weight", "bias"):
                    joined = torch.cat([taken(f"{name}.{part}.{weight}") for part in inputs])
                    renamed[f"{stack}.{number}.inputs.{weight}"] = joined
        return renamed


def _sizes(state: Mapping[str, Tensor], encoder: Half, decoder: Half, codebook: Tensor, channels: list[int]) -> str:
    width, latent = len(state["encoder.conv_in.weight"]), len(state["encoder.conv_out.weight"])
    multipliers = [level // width for level in channels]
    attention = _attention(encoder)
    if _attention(decoder) != attention:
        attention = f"{attention} (the decoder {_attention(decoder)})"
    codes, dim = codebook.shape
    return (
        f"encoder and decoder need width={width}, multipliers={multipliers}, blocks={encoder.blocks}, "
        f"latent_channels={latent} and {attention}, the quantizer num_codes={codes}, dim={dim}"
    )


def _attention(half: Half) -> str:
    places = [f"1/{2**halvings} of the image" for halvings, attends in enumerate(half.attends) if attends]
    setting = f"attention at {' and '.join(places)}" if places else "attention=[]"
    by_default = half.middle_attends == half.attends[-1]
    return setting if by_default else f"{setting}, middle_attention={str(half.middle_attends).lower()}"
