"""The VQ-VAE (https://arxiv.org/abs/1711.00937): an autoencoder whose latents are codes of a finite codebook."""

from torch import Tensor
from torch.optim import Optimizer

from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.reconstruction import ReconstructionLoss
from gen_experiments.metrics.codebook import CodebookUsage, perplexity, usage
from gen_experiments.models.base import DecoderFactory, EncoderFactory, ImageModel, OptimizerFactory
from gen_experiments.quantizers.base import Quantized, Quantizer
from gen_experiments.schedules import Schedule


class VQVAE(ImageModel):
    """Trains encoder, quantizer and decoder by reconstruction loss + the quantizer's own loss.

    Args:
        image: what the images are like; the command line links it from the data.
        encoder: images to latents of the quantizer's channels.
        decoder: quantized latents to images.
        quantizer: latents to codes and back.
        reconstruction: the distance of images and reconstructions.
        optimizer: makes the optimizer of all parameters.
        lr_schedule: factor on the learning rate, as a function of images seen; None keeps it.

    Attributes:
        code_counts: (codebook_size,), how often the last validation or test met each code, over all processes.
    """

    def __init__(
        self,
        image: ImageSpec,
        encoder: EncoderFactory,
        decoder: DecoderFactory,
        quantizer: Quantizer,
        reconstruction: ReconstructionLoss,
        optimizer: OptimizerFactory,
        lr_schedule: Schedule | None = None,
    ) -> None:
        super().__init__(image, lr_schedule)
        self.encoder = encoder(image, quantizer.dim)
        self.decoder = decoder(image, quantizer.dim)
        self.quantizer = quantizer
        self.reconstruction = reconstruction
        self.optimizer = optimizer
        self.codebook_usage = CodebookUsage(quantizer.codebook_size)
        self.code_counts: Tensor | None = None

    def forward(self, images: Tensor) -> tuple[Tensor, Quantized]:
        """Reconstructs (B, C, H, W) images in [-1, 1], and says through which codes."""
        quantized = self.quantizer(self.encoder(images))
        reconstructions: Tensor = self.decoder(quantized.values)
        return reconstructions, quantized

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, H, W) images in [-1, 1] -> (B, h, w) int64 codes."""
        indices: Tensor = self.quantizer(self.encoder(images)).indices
        return indices

    def decode(self, indices: Tensor) -> Tensor:
        """(B, h, w) int64 codes -> (B, C, H, W) images."""
        images: Tensor = self.decoder(self.quantizer.decode(indices))
        return images

    def reconstruct(self, images: Tensor) -> Tensor:
        """(B, C, H, W) images in [-1, 1] -> their reconstructions."""
        reconstructions: Tensor = self(images)[0]
        return reconstructions

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step of the loss."""
        reconstructions, quantized = self(batch.images)
        error = self.reconstruction(reconstructions, batch.images)
        loss: Tensor = error + quantized.loss
        self.log_training(loss=loss, reconstruction=error, quantizer=quantized.loss)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Logs the losses of a batch and counts its codes; gives the reconstructions to the evaluation."""
        return self._evaluation_step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The same on the test split."""
        return self._evaluation_step(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The reconstructions of a batch."""
        return self.reconstruct(batch.images)

    def on_validation_epoch_end(self) -> None:
        """Logs how much of the codebook the epoch used."""
        self._log_codebook("val")

    def on_test_epoch_end(self) -> None:
        """The same on the test split."""
        self._log_codebook("test")

    def _evaluation_step(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        reconstructions, quantized = self(batch.images)
        error = self.reconstruction(reconstructions, batch.images)
        squared = (reconstructions.float() - batch.images).square().mean()
        self.log_dict(
            {f"{stage}/loss": error + quantized.loss, f"{stage}/recon_mse": squared},
            batch_size=batch.images.shape[0],
            on_epoch=True,
            sync_dist=True,
        )
        self.codebook_usage.update(quantized.indices)
        return {"reconstructions": reconstructions}

    def _log_codebook(self, stage: str) -> None:
        self.code_counts = counts = self.codebook_usage.compute()
        self.codebook_usage.reset()
        self.log_dict({f"{stage}/perplexity": perplexity(counts), f"{stage}/codebook_usage": usage(counts)})
        self.log_images_seen()

    def configure_optimizers(self) -> list[Optimizer]:
        """One optimizer over everything that is trained."""
        return self.scheduled(self.optimizer(self.parameters()))
