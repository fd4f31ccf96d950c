"""The layout of LlamaGen's tokenizers."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from gen_experiments.checkpoints.layouts.deep import DeepLayout


class LlamaGen(DeepLayout):
    """`VQ-16` and `VQ-8` of github.com/FoundationVision/LlamaGen, as in `vq_ds16_c2i.pt`.

    From tokenizer/tokenizer_image/vq_model.py at commit ce98ec41803a74a90ce68c40ababa9eaeffeb4ec. Images are in
    [-1, 1], latents and codes are normalised to length one, group norm has 32 groups and ε 1e-6.
    """

    source = "a tokenizer of LlamaGen"
    levels: ClassVar[tuple[str, str]] = ("encoder.conv_blocks.{}", "decoder.conv_blocks.{}")
    block: ClassVar[str] = "res"
    middle: ClassVar[tuple[str, str, str]] = ("mid.0", "mid.1", "mid.2")
    top_first: ClassVar[bool] = False
    cosine: ClassVar[bool] = True

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Returns whether there is the first block of its encoder."""
        return "encoder.conv_blocks.0.res.0.norm1.weight" in state and "encoder.mid.0.norm1.weight" in state
