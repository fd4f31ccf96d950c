"""A tokenizer: encoder, codebook and decoder, their averages, and statistics of the codes."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from gen_experiments.contracts import require_attributes, require_scalar, require_shape
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.reconstruction import ReconstructionLoss
from gen_experiments.metrics.codebook import BatchPerplexity, CodebookUsage, perplexity, usage
from gen_experiments.metrics.image_means import ImageMeans
from gen_experiments.models.base import ImageModel
from gen_experiments.networks.base import Decoder, DecoderFactory, Encoder, EncoderFactory
from gen_experiments.precision import at_least_float32
from gen_experiments.pure_functions import PureFunction, example_images
from gen_experiments.quantizers.base import Quantized, Quantizer, check_codes, check_quantized
from gen_experiments.schedules import Schedule
from gen_experiments.training.ema import EMA, half_life_schedule


class Tokenizer(ImageModel):
    """The base of models that turn images into codes and back; a subclass defines their training.

    Args as for `VQVAE`.

    Attributes:
        code_counts: (codebook_size,), how often each code occurred in the last validation or test, over all processes
            and on all levels of the quantizer together.
    """

    score_without_fid: ClassVar[tuple[str, str] | None] = ("val/psnr", "max")
    alternatives: ClassVar[Mapping[str, str]] = {
        "sample": "train a prior over its codes (configs/prior.yaml) and sample from that"
    }

    def __init__(
        self,
        image: ImageSpec,
        encoder: EncoderFactory,
        decoder: DecoderFactory,
        quantizer: Quantizer,
        reconstruction: ReconstructionLoss,
        lr_schedule: Schedule | None,
        ema_half_life: float | Schedule | None,
    ) -> None:
        super().__init__(image, lr_schedule)
        require_attributes(quantizer, "dim", "codebook_size")
        self._codes_were_checked = False
        self.encoder = encoder(image, quantizer.dim)
        self.decoder = decoder(image, quantizer.dim)
        self.quantizer = quantizer
        self.ema_half_life = None if ema_half_life is None else half_life_schedule(ema_half_life)
        if self.ema_half_life is not None:
            self.averages = nn.ModuleList(EMA(part, average_buffers=True) for part in self.trained_parts())
        self.reconstruction = reconstruction
        self.codebook_usage = CodebookUsage(quantizer.codebook_size)
        self.batch_perplexity = BatchPerplexity()
        self.code_counts: Tensor | None = None
        self._means = ImageMeans("loss", "recon_mse")

    def forward(self, images: Tensor) -> tuple[Tensor, Quantized]:
        """Returns reconstructions of (B, C, H, W) images in [-1, 1], at least in float32, and their codes."""
        quantized = self._quantize(images)
        decoder = self._parts()[2]
        output = decoder(quantized.values)
        require_shape(output, tuple(images.shape), f"the result of {type(decoder).__name__}.forward")
        return at_least_float32(output), quantized

    def encode(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) images in [-1, 1] -> (B, h, w) int64 codes."""
        return self._quantize(images).indices

    @property
    def code_grids(self) -> tuple[tuple[int, int], ...]:
        """The grids of an image's codes: (h, w) of each level of the quantizer, in order."""
        return self.quantizer.grids(*self._grid)

    @cached_property
    def _grid(self) -> tuple[int, int]:
        """Height and width of the latents."""
        with torch.no_grad():
            height, width = self.encoder(torch.zeros(1, *self.image.shape, device=self.device)).shape[-2:]
        return height, width

    def code_latents(self, indices: Tensor) -> Tensor:
        """Maps (B, h, w) int64 codes -> (B, D, h, w) quantized latents."""
        latents: Tensor = self._parts()[1].decode_grid(indices, *self._grid)
        return latents

    def decode(self, indices: Tensor) -> Tensor:
        """Maps (B, h, w) int64 codes -> (B, C, H, W) images."""
        images: Tensor = self._parts()[2](self.code_latents(indices))
        return images

    def _quantize(self, images: Tensor) -> Quantized:
        encoder, quantizer, _ = self._parts()
        latents = encoder(images)
        if self.training and not self._codes_were_checked:
            # A quantizer of the user's own would fail only in the first validation, after many iterations.
            check_codes(quantizer, latents)
            self._codes_were_checked = True
        quantized: Quantized = quantizer(latents)
        check_quantized(quantizer, latents, quantized)
        return quantized

    def reconstruction_error(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """Returns the distance of (B, C, H, W) reconstructions and images, a scalar.

        Raises:
            UserError: the reconstruction loss returned something else.
        """
        error = self.reconstruction(reconstructions, images)
        require_scalar(error, f"the result of {type(self.reconstruction).__name__}.__call__")
        return error

    def trained_parts(self) -> tuple[Encoder, Quantizer, Decoder]:
        """Returns the parts that the optimizer trains."""
        return self.encoder, self.quantizer, self.decoder

    def averaged_parts(self) -> list[tuple[EMA, nn.Module]]:
        """Returns the averages of encoder, codebook and decoder, if there are any, each with its part."""
        return [] if self.ema_half_life is None else list(zip(self.averages, self.trained_parts(), strict=True))  # type: ignore[arg-type]

    def _parts(self) -> tuple[Encoder, Quantizer, Decoder]:
        """Returns the trained parts or, outside of training, their averages if there are any."""
        if self.training or self.ema_half_life is None:
            return self.trained_parts()
        encoder, quantizer, decoder = (average.module for average in self.averages)
        return encoder, quantizer, decoder  # type: ignore[return-value]

    def reconstruct(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) images in [-1, 1] -> their reconstructions."""
        reconstructions: Tensor = self(images)[0]
        return reconstructions

    @torch.no_grad()
    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns the functions between images, codes and quantized latents.

        `encoder` maps (B, C, H, W) images in [-1, 1] -> (B, D, h, w) latents and their int64 codes, shaped as
        `Quantized.indices`; `codebook` maps codes -> (B, D, h, w) quantized latents; `decoder` maps these -> images,
        meant to lie in [-1, 1] but not clamped.
        """
        encoder, quantizer, decoder = self._parts()

        def encode(images: Tensor) -> tuple[Tensor, Tensor]:
            latents: Tensor = encoder(images)
            return latents, quantizer(latents).indices

        def decode(quantized: Tensor) -> Tensor:
            return at_least_float32(decoder(quantized))

        images = example_images(self.image)
        latents, codes = encode(images)
        height, width = latents.shape[-2:]

        def look_up(codes: Tensor) -> Tensor:
            return quantizer.decode_grid(codes, height, width)

        return {
            "encoder": PureFunction(encode, (encoder, quantizer), {"images": images}, ("latents", "codes")),
            "codebook": PureFunction(look_up, (quantizer,), {"codes": codes}, ("quantized",)),
            "decoder": PureFunction(decode, (decoder,), {"quantized": look_up(codes)}, ("images",)),
        }

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Makes a step and returns the loss."""

    def after_step(self, images: int) -> None:
        """Updates the averages."""
        if self.ema_half_life is not None:
            half_life = self.ema_half_life(self.images_seen - images)
            for average, part in self.averaged_parts():
                average.update(part, images, half_life)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Adds the losses and codes of a batch; returns codes and reconstructions for the callbacks."""
        reconstructions, quantized = self(batch.inputs)
        error = self.reconstruction_error(reconstructions, batch.images)
        squared = (reconstructions.float() - batch.images).square().mean()
        self._means.update(len(batch.images), loss=error + quantized.loss, recon_mse=squared)
        self.codebook_usage.update(quantized.indices)
        self.batch_perplexity.update(quantized.indices, batch.places)
        return {"reconstructions": reconstructions, "codes": quantized.indices}

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the reconstructions of a batch."""
        return self.reconstruct(batch.inputs)

    def log_evaluation(self, split: str) -> None:
        """Logs the losses and the use of the codebook."""
        # torchmetrics squeezes tensors of one element.
        self.code_counts = counts = self.codebook_usage.compute().reshape(-1)
        self.codebook_usage.reset()
        logs = self._means.compute(self.device)
        logs |= {"perplexity": perplexity(counts), "codebook_usage": usage(counts)}
        of_batches = self.batch_perplexity.compute()
        if not of_batches.isnan():
            logs["batch_perplexity"] = of_batches
        self.log_dict({f"{split}/{name}": value for name, value in logs.items()})
        super().log_evaluation(split)
