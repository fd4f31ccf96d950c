"""A history of generated images, which a discriminator sees again."""

import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.errors import check_interval
from gen_experiments.images import ImageSpec
from gen_experiments.precision import KeepsPrecision


class ImageBuffer(KeepsPrecision):
    """A history of generated images (Shrivastava et al., https://arxiv.org/abs/1612.07828), as CycleGAN has it.

    The first `size` images are stored and returned. Then each image of a batch in turn is returned or, with probability
    ½, stored in the place of an earlier image, which is returned instead. The history is part of the checkpoint and
    equal on all processes; each process gets its part of what a single process would get.

    Args:
        image: what the images are like.
        size: stored images, in [0, 10000]; 0 returns every image unchanged.

    Raises:
        UserError: the size is out of range.
    """

    images: Tensor
    filled: Tensor

    def __init__(self, image: ImageSpec, size: int = 50) -> None:
        super().__init__()
        check_interval("[0, 10000]", buffer=size)
        self.register_buffer("images", torch.zeros(size, *image.shape))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, fakes: Tensor, rng: torch.Generator) -> Tensor:
        """Returns (B, C, H, W) images for the discriminator in place of newly generated ones.

        Args:
            fakes: the new images, this process's part of the batch.
            rng: in the same state on all processes.
        """
        size = len(self.images)
        if not size:
            return fakes.detach()
        images = distributed.all_gather_rows(fakes.detach().float())
        draws = torch.rand(len(images), 2, generator=rng, device=rng.device).to(images.device)
        places, exchanged = (draws[:, 0] * size).long(), draws[:, 1] < 0.5
        images_out = []
        # One after the other, as an image may return within its own batch; nothing waits for the device.
        for image, place, exchange in zip(images, places, exchanged, strict=True):
            filling = self.filled < size
            at = torch.where(filling, self.filled, place)[None]
            kept = self.images.index_select(0, at)[0]
            images_out.append(torch.where(~filling & exchange, kept, image))
            self.images.index_copy_(0, at, torch.where(filling | exchange, image, kept)[None])
            self.filled += filling
        first = distributed.rank() * len(fakes)
        return torch.stack(images_out[first : first + len(fakes)]).to(fakes.dtype)
