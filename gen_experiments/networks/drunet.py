"""The residual U-Net of DRUNet, for restoration."""

from torch import Tensor, nn

from gen_experiments.errors import check_interval
from gen_experiments.images import ImageSpec
from gen_experiments.networks import blocks
from gen_experiments.networks.base import Translator


class DRUNet(Translator):
    """DRUNet (https://arxiv.org/abs/2008.13751), layer by layer `UNetRes` of its PyTorch code.

    No layer is normalised or has a bias, and the features of each resolution on the way down are added on the way up:
    level and detail of the image are kept. It has a 3×3 convolution to `width` channels, residual blocks
    x + 3×3(ReLU(3×3(x))) at every resolution on the way down and up, 2×2 convolutions of stride 2 down, transposed ones
    up, and 3×3 to the image. At the defaults it has the published 32.6 million weights. The authors' network has one
    more input channel, with the strength of the noise.

    Args:
        image: the images' shape.
        width: channels at full resolution; they double with each halving.
        residual_blocks: at each resolution, on the way down, in the middle and on the way up.
        halvings: how often the resolution is halved; 0 keeps it.
        identity: add the input to the output, which starts at 0: the network learns the difference. DRUNet as published
            does not.

    Raises:
        UserError: a number out of range, or the images cannot be halved so often.
    """

    def __init__(
        self,
        image: ImageSpec,
        width: int = 64,
        residual_blocks: int = 4,
        halvings: int = 3,
        identity: bool = False,
    ) -> None:
        super().__init__()
        blocks.check_widths(width=width)
        check_interval(f"[0, {blocks.MAX_BLOCKS}]", residual_blocks=residual_blocks)
        blocks.check_halvings(image, halvings)
        self.identity = identity
        widths = [width << depth for depth in range(halvings + 1)]

        def residual(channels: int) -> list[nn.Module]:
            return [_Block(channels) for _ in range(residual_blocks)]

        self.head = nn.Conv2d(image.channels, width, 3, padding=1, bias=False)
        self.down = nn.ModuleList()
        for channels in widths[:-1]:
            halving = nn.Conv2d(channels, 2 * channels, 2, stride=2, bias=False)
            self.down.append(nn.Sequential(*residual(channels), halving))
        self.body = nn.Sequential(*residual(widths[-1]))
        self.up = nn.ModuleList()
        for channels in reversed(widths[:-1]):
            doubling = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2, bias=False)
            self.up.append(nn.Sequential(doubling, *residual(channels)))
        self.tail = nn.Conv2d(width, image.channels, 3, padding=1, bias=False)
        if identity:
            nn.init.zeros_(self.tail.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> the same shape; values should lie in [-1, 1] but are not clamped."""
        went_down = [self.head(images)]
        for down in self.down:
            went_down.append(down(went_down[-1]))
        x = self.body(went_down[-1])
        for up in self.up:
            x = up(x + went_down.pop())
        change: Tensor = self.tail(x + went_down.pop())
        return images + change if self.identity else change


class _Block(nn.Module):
    """x + 3×3(ReLU(3×3(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, channels, h, w) -> the same shape."""
        added: Tensor = self.layers(x)
        return x + added
