"""Parts, initialisations and checks that several networks share."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm
from torch.nn.utils.parametrizations import spectral_norm

from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import ImageSpec
from gen_experiments.precision import at_least_float32
from gen_experiments.sizes import as_set, canonical_size, in_words

# No network needs more, and a typing error should not allocate all memory.
MAX_CHANNELS, MAX_BLOCKS, MAX_HALVINGS = 2**16, 1000, 16
MIN_SIDE, MAX_SIDE = 16, 256  # of images that are made by doubling a small grid, the shorter side


class ResidualStack(nn.Module):
    """Blocks of x + W₂ relu(W₁ relu(x)), W₁ 3×3 and W₂ 1×1, and a last ReLU: sonnet's residual stack.

    Args:
        channels: channels in and out.
        hidden: channels between the two convolutions of a block.
        blocks: number of blocks.
    """

    def __init__(self, channels: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(channels, hidden, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.Conv2d(hidden, channels, kernel_size=1),
            )
            for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, channels, h, w) -> the same shape."""
        for block in self.blocks:
            x = x + block(x)
        return torch.relu(x)


def fan_in_init(module: nn.Module) -> None:
    """Draws a layer's weights from N(0, 1/fan_in), truncated at two deviations, and sets its bias to 0.

    Sonnet's default; fan_in counts kernel positions times input channels, for transposed convolutions too. To be used
    with `Module.apply`.
    """
    if not isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        return
    inputs = module.in_features if isinstance(module, nn.Linear) else module.in_channels * module.weight[0, 0].numel()
    std = inputs**-0.5
    nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def normal_init(std: float) -> Callable[[nn.Module], None]:
    """DCGAN's initialisation, for `Module.apply`: weights N(0, std), batch norm's factors N(1, std), all biases 0."""

    def init(module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
        else:
            return
        if module.bias is not None:
            nn.init.zeros_(module.bias)

    return init


def apply_spectral_norm(network: nn.Module) -> None:
    """Divides every weight and embedding by its largest singular value (https://arxiv.org/abs/1802.05957).

    The value is estimated by one power iteration per forward pass in training. Such a network cannot be pickled; its
    state_dict can be saved.
    """
    for module in list(network.modules()):
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)):
            spectral_norm(module)


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm (https://arxiv.org/abs/1803.08494) of at most 32 groups, if possible of 4 channels or more each.

    The number of groups is the largest that divides the channels. ε is 1e-6, as in the VQGAN's code.
    """
    most = min(32, max(channels // 4, 1))
    return nn.GroupNorm(max(groups for groups in range(1, most + 1) if channels % groups == 0), channels, eps=1e-6)


class RMSNorm(nn.RMSNorm):
    """x / root mean square over the last axis · scale, computed and returned at least in float32.

    A scale in bfloat16 or float16 is converted like x: for tensors of two dtypes PyTorch has no fused implementation,
    and warns of that.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., width) -> the same."""
        return rms_norm(at_least_float32(x), self.normalized_shape, at_least_float32(self.weight), self.eps)


def batch_or_instance_norm(channels: int, batch: bool) -> nn.Module:
    """Returns batch norm, or instance norm without factors and offsets: what pix2pix and CycleGAN choose between."""
    return nn.BatchNorm2d(channels) if batch else nn.InstanceNorm2d(channels)


def reflection_conv(before: int, after: int, kernel: int, stride: int = 1, bias: bool = True) -> list[nn.Module]:
    """Returns a convolution with mirrored borders that keeps the resolution, or divides it by the stride."""
    return [nn.ReflectionPad2d((kernel - 1) // 2), nn.Conv2d(before, after, kernel, stride, bias=bias)]


class ReflectedResidualBlock(nn.Module):
    """x + norm(3×3(dropout(ReLU(norm(3×3(x)))))), borders mirrored.

    Args:
        channels: channels in and out.
        batch_norm: normalise by the statistics of the batch, else each image by itself.
        dropout: dropout of ½ in the middle.
    """

    def __init__(self, channels: int, batch_norm: bool = False, dropout: bool = False) -> None:
        super().__init__()
        first, second = (reflection_conv(channels, channels, 3, bias=not batch_norm) for _ in range(2))
        self.layers = nn.Sequential(
            *first,
            batch_or_instance_norm(channels, batch_norm),
            nn.ReLU(),
            *([nn.Dropout(0.5)] if dropout else []),
            *second,
            batch_or_instance_norm(channels, batch_norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, channels, h, w) -> the same shape."""
        added: Tensor = self.layers(x)
        return x + added


def resize_convolution(before: int, after: int, kernel: int = 3, bias: bool = True) -> list[nn.Module]:
    """Returns layers that double the resolution by repeating each pixel, before a convolution with mirrored borders.

    Odena, Dumoulin and Olah (https://doi.org/10.23915/distill.00003) use it instead of transposed convolutions, which
    leave checkerboard patterns: different weights of the kernel make neighbouring pixels.
    """
    return [nn.Upsample(scale_factor=2), *reflection_conv(before, after, kernel, bias=bias)]


def check_widths(**widths: int) -> None:
    """Refuses numbers of channels or of units outside [1, 2^16].

    Raises:
        UserError: the first number outside, with its name.
    """
    check_interval(f"[1, {MAX_CHANNELS}]", **widths)


def check_halvings(image: ImageSpec, times: int) -> None:
    """Makes sure that images can be halved `times` times.

    Raises:
        UserError: more than 16 times, or a side is no multiple of 2^times.
    """
    check_interval(f"[0, {MAX_HALVINGS}]", halvings=times)
    multiple = 2**times
    if image.height % multiple or image.width % multiple:
        below, above = (
            [(side + added) // multiple * multiple for side in (image.height, image.width)]
            for added in (0, multiple - 1)
        )
        raise UserError(
            f"images of {in_words(image.size)} pixels cannot be halved {times} times: set the data's size to "
            f"{_suggestion([below, above] if all(below) else [above])}"
        )


def doublings(image: ImageSpec) -> int:
    """Returns how often a grid with a shorter side of 4 to 7 pixels must be doubled to give the image.

    For squares of a power of two that is log₂(size / 4), from 4×4; 96 × 128 takes four doublings from 6 × 8.

    Raises:
        UserError: the shorter side is out of [16, 256], or a side is no multiple of 2^doublings.
    """
    count = image.shorter.bit_length() - 3
    if MIN_SIDE <= image.shorter <= MAX_SIDE and not (image.height | image.width) % 2**count:
        return count
    taken = [pixels for pixels in range(MIN_SIDE, MAX_SIDE + 1) if not pixels % 2 ** (pixels.bit_length() - 3)]
    nearest = sorted(sorted(taken, key=lambda pixels: abs(pixels - image.shorter))[:2])
    sizes = []
    for shorter in nearest:
        multiple = 2 ** (shorter.bit_length() - 3)
        longer = [max(shorter, round(side / multiple) * multiple) for side in (image.height, image.width)]
        sizes.append(
            [shorter if side == image.shorter else long for side, long in zip(image.shape[1:], longer, strict=True)]
        )
    raise UserError(
        f"these networks double a grid of 4 to 7 pixels on its shorter side to one of {MIN_SIDE} to "
        f"{MAX_SIDE}, which gives no images of {in_words(image.size)}: set the data's size to {_suggestion(sizes)}"
    )


def start_size(image: ImageSpec) -> tuple[int, int]:
    """Returns height and width of the grid that is doubled; see `doublings`."""
    count = doublings(image)
    return image.height >> count, image.width >> count


def _suggestion(sizes: Sequence[Sequence[int]]) -> str:
    written = [as_set(canonical_size(size)) for size in sizes]
    return " or ".join(dict.fromkeys(written))


def width_at(width: int, size: int) -> int:
    """Returns the channels at `size` pixels of a network that starts at 4×4: `width` up to 32, then halved each time.

    Raises:
        UserError: no channels are left.
    """
    check_interval(f"[{max(size // 32, 1)}, {MAX_CHANNELS}]", width=width)
    return width * 32 // max(size, 32)
