"""The layout of MUNIT's generators."""

import re
from collections.abc import Mapping

from torch import Tensor

from gen_experiments.checkpoints.layouts.base import Converted, Layout, Unconvertible, unused

SIDES = {"b": 0, "a": 1}  # `MUNIT.directions`
NUMBER = r"(\d+)"


class MUNITGenerators(Layout):
    """Both autoencoders of github.com/NVlabs/MUNIT, as in `gen_01000000.pt`.

    From networks.py and trainer.py at commit a82e222bc359892bd0f522d7a0f1573f3ec4a485. Images are in [-1, 1], borders
    are mirrored (`pad_type: reflect`, which the weights do not show), instance norm is that of an image alone.
    """

    source = "MUNIT's generators"

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Returns whether there are the encoders of contents of both sides."""
        return all(f"{side}.enc_content.model.0.conv.weight" in state for side in SIDES)

    def convert(self, state: Mapping[str, Tensor]) -> Converted:
        """Returns the weights as `generators.0.` (side B) and `generators.1.` (side A) of a `MUNIT`."""
        weights: dict[str, Tensor] = {}
        used: set[str] = set()
        for side, place in SIDES.items():
            halvings = _count(state, rf"{side}\.enc_content\.model\.{NUMBER}\.conv\.weight") - 1
            style_halvings = _count(state, rf"{side}\.enc_style\.model\.{NUMBER}\.conv\.weight") - 1
            for name, weight in state.items():
                if name.startswith(f"{side}."):
                    ours = _rename(name[2:], halvings, style_halvings)
                    if ours is not None:
                        weights[f"generators.{place}.{ours}"] = weight
                        used.add(name)
        first = "a.enc_content.model.0.conv.weight"
        residual_blocks = _count(state, rf"a\.dec\.model\.0\.model\.{NUMBER}\.model\.0\.conv\.weight")
        sizes = (
            f"the autoencoder needs width={len(state[first])}, residual_blocks={residual_blocks}, halvings={halvings}, "
            f"style_halvings={style_halvings}, and style_dim and mlp_width as trained"
        )
        left = tuple(name for name in unused(state, used) if not re.search(r"\.running_(mean|var)$|num_batches", name))
        if left:
            raise Unconvertible(f"MUNITAutoencoder has no place for {left[0]}")
        return Converted(weights, ("generators.0.", "generators.1."), sizes)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in state)


def _rename(name: str, halvings: int, style_halvings: int) -> str | None:
    """Returns our name of a weight of one autoencoder; None if there is none."""

    def numbers(pattern: str) -> list[int] | None:
        match = re.fullmatch(pattern, start)
        return None if match is None else [int(number) for number in match.groups()]

    start, _, last = name.rpartition(".")
    if last in ("gamma", "beta"):
        at = numbers(rf"dec\.model\.{NUMBER}\.norm")
        if at is None:
            return None
        # An enlargement and a convolution there are five layers of ours.
        return f"decoder.layers.{5 * (at[0] // 2 - 1) + 3}.{'factor' if last == 'gamma' else 'offset'}"
    if last not in ("weight", "bias"):
        return None
    if at := numbers(rf"enc_content\.model\.{NUMBER}\.conv"):
        ours = f"content_encoder.layers.{4 * at[0] + 1}"
    elif at := numbers(rf"enc_content\.model\.{NUMBER}\.model\.{NUMBER}\.model\.{NUMBER}\.conv"):
        ours = f"content_encoder.layers.{4 * (halvings + 1) + at[1]}.layers.{4 * at[2] + 1}"
    elif at := numbers(rf"enc_style\.model\.{NUMBER}\.conv"):
        ours = f"style_encoder.layers.{3 * at[0] + 1}"
    elif numbers(rf"enc_style\.model\.{NUMBER}"):
        ours = f"style_encoder.layers.{3 * (style_halvings + 1) + 1}"
    elif at := numbers(rf"mlp\.model\.{NUMBER}\.fc"):
        ours = f"decoder.mlp.{2 * at[0]}"
    elif at := numbers(rf"dec\.model\.0\.model\.{NUMBER}\.model\.{NUMBER}\.conv"):
        ours = f"decoder.blocks.{at[0]}.{('first', 'second')[at[1]]}.1"
    elif at := numbers(rf"dec\.model\.{NUMBER}\.conv"):
        ours = f"decoder.layers.{5 * (at[0] // 2 - 1) + 2 if at[0] <= 2 * halvings else 5 * halvings + 1}"
    else:
        return None
    return f"{ours}.{last}"
