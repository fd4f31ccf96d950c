"""The layout of pytorch-CycleGAN-and-pix2pix's networks."""

import re
from collections.abc import Mapping
from itertools import count

import torch
from torch import Tensor

from gen_experiments.checkpoints.layouts.base import Converted, Layout, Unconvertible, unused

OF_NETWORK = re.compile(r"(?:net_([GD])(?:_([AB]))?\.)?(.+)")
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Pix2PixNetworks(Layout):
    """Generators and discriminators of github.com/junyanz/pytorch-CycleGAN-and-pix2pix, as in `latest_net_G_A.pth`.

    From models/networks.py and models/base_model.py: `ResnetGenerator`, `UnetGenerator` and `NLayerDiscriminator` with
    instance norm, `define_G`'s defaults. G or G_A is the generator to B and G_B that to A; D or D_A judges B and D_B
    judges A. A file whose name says nothing is taken for the generator to B. The names begin with `net_G_A.` and so on
    where files' names say which network it is (`untrusted.weight_files`). Images are in [-1, 1]. There pix2pix
    translates with dropout and batch norm as in training, unless `--eval` is given; here always as with `--eval`.
    """

    source = "networks of pytorch-CycleGAN-and-pix2pix"

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Returns whether every name is that of a layer of such a network, and the first layers are there."""
        networks = _networks(state)
        return bool(networks) and all(_kind(network) is not None for network in networks.values())

    def convert(self, state: Mapping[str, Tensor]) -> Converted:
        """Returns the weights as `generators.0.`, `generators.1.`, `discriminators.0.` and `discriminators.1.`."""
        weights: dict[str, Tensor] = {}
        used: set[str] = set()
        parts, sizes = [], []
        reasons: list[str] = []
        for beginning, network in _networks(state).items():
            kind = _kind(network)
            match = re.fullmatch(r"net_([GD])(?:_([AB]))?\.", beginning)
            place = int(match is not None and match[2] == "B")
            try:
                if kind == "discriminator":
                    renamed, size = _discriminator(network)
                else:
                    renamed, size = _unet(network) if kind == "unet" else _resnet(network)
            except Unconvertible as reason:
                if kind != "discriminator":
                    raise
                reasons.append(str(reason))
                continue
            part = f"{'discriminators' if kind == 'discriminator' else 'generators'}.{place}."
            weights |= {part + ours: weight for ours, weight in renamed.items()}
            used |= {beginning + name for name in network}
            parts.append(part)
            sizes.append(size)
        if not parts:
            raise Unconvertible(reasons[0])
        return Converted(weights, tuple(parts), "; ".join(dict.fromkeys(sizes)), unused=unused(state, used))


def _networks(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Returns the weights of each network by the beginning of their names; statistics of instance norm are left out.

    Files of torch before 0.4 hold them, and their own program removes them.
    """
    networks: dict[str, dict[str, Tensor]] = {}
    for name, weight in state.items():
        match = OF_NETWORK.fullmatch(name)
        assert match is not None
        start, _, last = name.rpartition(".")
        if last not in STATISTICS or f"{start}.weight" in state:
            networks.setdefault(name.removesuffix(match[3]), {})[match[3]] = weight
    return networks


def _kind(network: Mapping[str, Tensor]) -> str | None:
    if not all(name.startswith("model.") for name in network):
        return None
    firsts = {"unet": "model.model.0.weight", "resnet": "model.1.weight", "discriminator": "model.0.weight"}
    kernels = {"unet": 4, "resnet": 7, "discriminator": 4}
    for kind, name in firsts.items():
        if name in network and network[name].ndim == 4 and network[name].shape[-1] == kernels[kind]:
            return kind
    return None


def _resnet(network: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Returns the weights of a `ResnetGenerator` by the names of `ResNetTranslator`, and its sizes."""
    if any(name.endswith(".filt") for name in network):
        raise Unconvertible("it blurs where it halves and doubles (CUT's antialiasing), and ResNetTranslator does not")
    layers = sorted({int(name.split(".")[1]) for name in network})
    convolutions = [i for i in layers if f"model.{i}.weight" in network and network[f"model.{i}.weight"].ndim == 4]
    blocks = [i for i in layers if any(name.startswith(f"model.{i}.conv_block.") for name in network)]
    stages = sorted([*convolutions, *blocks])
    halvings = sum(i < min(blocks, default=0) for i in convolutions) - 1
    for i in convolutions[halvings + 1 : -1]:
        before, after = network[f"model.{i}.weight"].shape[:2]
        if before != 2 * after:
            raise Unconvertible("it enlarges bilinearly before a convolution, and ResNetTranslator does not")
    renamed: dict[str, Tensor] = {}
    for name, weight in network.items():
        _, at, *rest = name.split(".")
        stage = max(place for place, i in enumerate(stages) if i <= int(at))
        if rest[0] == "conv_block":
            ours = ["0", "layers", *rest[1:]]
        else:
            # The first and the last convolution stand behind a border.
            ours = [str(int(at) - stages[stage] + (stage in (0, len(stages) - 1))), *rest]
        renamed[".".join(["stages", str(stage), *ours])] = weight
    batch_norm = "model.2.weight" in network
    dropout = bool(blocks) and f"model.{blocks[0]}.conv_block.6.weight" in network
    return _with_counts(renamed), (
        f"the generator needs ResNetTranslator with width={len(network['model.1.weight'])}, "
        f"residual_blocks={len(blocks)}, halvings={halvings}, batch_norm={_word(batch_norm)}, dropout={_word(dropout)}"
    )


def _unet(network: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Returns the weights of a `UnetGenerator` by the names of `UNet`, and its sizes.

    Block d + 1 stands within block d, whose layers are LeakyReLU, convolution, norm, block, ReLU, transposed
    convolution, norm; the outermost begins with its convolution, the innermost has neither the first norm nor a block.
    """
    prefixes = ["model.model."]
    for depth in count(1):
        inner = f"{prefixes[-1]}{1 if depth == 1 else 3}.model."
        if not any(name.startswith(inner) for name in network):
            break
        prefixes.append(inner)
    names: dict[str, str] = {}
    last = len(prefixes) - 1
    for depth, prefix in enumerate(prefixes):
        # Their places in the file, ours: convolution, norm; transposed convolution, norm.
        down = {0: 0} if depth == 0 else {1: 1, 2: 2}
        up = {3: 1} if depth == 0 else {3: 1, 4: 2} if depth == last else {5: 1, 6: 2}
        if depth == last:
            del down[2]
        for way, places in (("down", down), ("up", up)):
            names |= {f"{prefix}{theirs}": f"{way}.{depth}.{ours}" for theirs, ours in places.items()}
    renamed: dict[str, Tensor] = {}
    for name, weight in network.items():
        layer, _, kind = name.rpartition(".")
        if layer not in names:
            raise Unconvertible(f"UNet has no place for {name}")
        renamed[f"{names[layer]}.{kind}"] = weight
    batch_norm = any(weight.ndim == 1 and name.endswith(".weight") for name, weight in network.items())
    return _with_counts(renamed), (
        f"the generator needs UNet with width={len(network['model.model.0.weight'])}, halvings={len(prefixes)}, "
        f"batch_norm={_word(batch_norm)}"
    )


def _discriminator(network: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Returns the weights of an `NLayerDiscriminator` by the names of `PatchDiscriminator`, and its sizes."""
    if any(weight.ndim == 1 and name.endswith(".weight") for name, weight in network.items()):
        raise Unconvertible("its discriminator normalises by the batch, and PatchDiscriminator does not")
    convolutions = sum(weight.ndim == 4 for weight in network.values())
    return {name.replace("model.", "layers.", 1): weight for name, weight in network.items()}, (
        f"the discriminator needs PatchDiscriminator with width={len(network['model.0.weight'])}, "
        f"layers={convolutions - 2}, group_norm=false, instance_norm=true"
    )


def _with_counts(renamed: dict[str, Tensor]) -> dict[str, Tensor]:
    """Adds the count of batches of each batch norm, which files of torch before 0.4.1 lack."""
    counts = {f"{name.rpartition('.')[0]}.num_batches_tracked" for name in renamed if name.endswith("running_mean")}
    return {name: torch.tensor(0) for name in counts} | renamed


def _word(value: bool) -> str:
    return str(value).lower()
