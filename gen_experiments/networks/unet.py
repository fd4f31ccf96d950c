"""The U-Net of pix2pix."""

from torch import Tensor, cat, nn

from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import ImageSpec
from gen_experiments.networks import blocks
from gen_experiments.networks.base import Translator
from gen_experiments.sizes import in_words


class UNet(Translator):
    """The U-Net of pix2pix (https://arxiv.org/abs/1611.07004), layer by layer that of its PyTorch code.

    4×4 convolutions of stride 2 on the way down, with LeakyReLU of slope 0.2 in between, and transposed ones on the way
    up, after ReLU; at each resolution the features of both ways are concatenated. All but the first and the innermost
    convolution are normalised; weights from N(0, 0.02), tanh at the end. At 256 pixels with 8 halvings it has the
    published 54.4 million weights.

    Args:
        image: the images' shape.
        width: channels after the first layer; they double with each, up to 8 · width.
        halvings: how often the resolution is halved; >= 2. By default as often as possible.
        batch_norm: normalise by the statistics of the batch, else (the authors' choice for batches of one) each image
            by itself.
        dropout: dropout of ½ behind the layers on the way up with 8 · width channels, except the innermost, as
            published. The paper keeps it after training as the model's noise; here a trained model has none.
        resize_convolution: double the resolution by repeating pixels before 3×3 convolutions with mirrored borders,
            which leave no pattern on flat areas as transposed ones do (`blocks.resize_convolution`). Not in the paper.

    Raises:
        UserError: a number out of range, or the images cannot be halved so often.
    """

    def __init__(
        self,
        image: ImageSpec,
        width: int = 64,
        halvings: int | None = None,
        batch_norm: bool = False,
        dropout: bool = True,
        resize_convolution: bool = False,
    ) -> None:
        super().__init__()
        blocks.check_widths(width=width)
        halvings = most_halvings(image) if halvings is None else halvings
        check_interval(f"[2, {blocks.MAX_HALVINGS}]", halvings=halvings)
        blocks.check_halvings(image, halvings)
        widths = [image.channels] + [width * min(2**i, 8) for i in range(halvings)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for depth in range(halvings):
            before, after = widths[depth : depth + 2]
            innermost, outermost = depth == halvings - 1, depth == 0
            normalised = not outermost and not innermost
            down: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2)]
            # A bias in front of batch norm would do nothing; the authors keep it in front of instance norm.
            bias = outermost or not batch_norm
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=bias)]
            down += [blocks.batch_or_instance_norm(after, batch_norm)] if normalised else []
            up: list[nn.Module] = [nn.ReLU()]
            beside = after if innermost else 2 * after
            if resize_convolution:
                up += blocks.resize_convolution(beside, before, bias=bias)
            else:
                up += [nn.ConvTranspose2d(beside, before, 4, stride=2, padding=1, bias=bias)]
            up += [nn.Tanh()] if outermost else [blocks.batch_or_instance_norm(before, batch_norm)]
            up += [nn.Dropout(0.5)] if dropout and before == 8 * width and not innermost else []
            self.down.append(nn.Sequential(*down))
            self.up.append(nn.Sequential(*up))
        self.apply(blocks.normal_init(0.02))

    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> the same shape, in (-1, 1)."""
        went_down: list[Tensor] = []
        x = images
        for down in self.down:
            x = down(x)
            went_down.append(x)
        for depth in reversed(range(len(self.up))):
            x = self.up[depth](x)
            if depth:
                x = cat([went_down[depth - 1], x], dim=1)
        return x


def most_halvings(image: ImageSpec) -> int:
    """Returns how often both sides of images can be halved.

    Raises:
        UserError: less than twice.
    """
    both = image.height | image.width
    times = (both & -both).bit_length() - 1
    if times < 2:
        raise UserError(
            f"a U-Net halves images at least twice, and {in_words(image.size)} pixels cannot be: set a multiple of 4"
        )
    return times
