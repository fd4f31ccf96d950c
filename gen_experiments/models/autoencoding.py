"""The pure functions of an autoencoder with a codebook."""

import torch
from torch import Tensor

from gen_experiments.images import ImageSpec
from gen_experiments.networks.base import Decoder, Encoder
from gen_experiments.precision import at_least_float32
from gen_experiments.pure_functions import PureFunction, example_images
from gen_experiments.quantizers.base import Quantizer


@torch.no_grad()
def autoencoding(image: ImageSpec, encoder: Encoder, quantizer: Quantizer, decoder: Decoder) -> dict[str, PureFunction]:
    """Returns the three functions between images, codes and quantized latents.

    `encoder` maps (B, C, H, W) images in [-1, 1] -> (B, D, h, w) latents and their int64 codes, shaped as
    `Quantized.indices`; `codebook` maps codes -> (B, D, h, w) quantized latents; `decoder` maps these -> images, meant
    to lie in [-1, 1] but not clamped.
    """

    def encode(images: Tensor) -> tuple[Tensor, Tensor]:
        latents: Tensor = encoder(images)
        return latents, quantizer(latents).indices

    def decode(quantized: Tensor) -> Tensor:
        return at_least_float32(decoder(quantized))

    images = example_images(image)
    latents, codes = encode(images)
    height, width = latents.shape[-2:]

    def look_up(codes: Tensor) -> Tensor:
        return quantizer.decode_grid(codes, height, width)

    return {
        "encoder": PureFunction(encode, (encoder, quantizer), {"images": images}, ("latents", "codes")),
        "codebook": PureFunction(look_up, (quantizer,), {"codes": codes}, ("quantized",)),
        "decoder": PureFunction(decode, (decoder,), {"quantized": look_up(codes)}, ("images",)),
    }
