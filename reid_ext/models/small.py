"""The small residual network with about 0.9 M parameters, for training on a CPU at 96x48 pixels.

It has a 5x5 convolution with stride 2, a max pool, four basic blocks, and the mean of each of three
horizontal stripes. People are upright in the images, so the stripes separate the head, the body and
the legs.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (24, 32, 64, 128, 192)
STRIDES = (1, 2, 2, 1)
STRIPES = 3


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, C, H, W) -> (N, C', H / stride, W / stride)."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(hidden)) + self.shortcut(x), inplace=True)


class StripePool(nn.Module):
    """Means of horizontal stripes, top to bottom: (N, C, H, W) -> (N, C * stripes)."""

    def __init__(self, stripes: int):
        super().__init__()
        self.stripes = stripes

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, (self.stripes, 1)).flatten(1)


def small_parts() -> tuple[nn.Module, nn.Module, nn.Module, int, int]:
    """Return stem, trunk, pool, and the numbers of features (576) and map channels (192)."""
    stem = nn.Sequential(
        nn.Conv2d(3, WIDTHS[0], 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(WIDTHS[0]),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    )
    shapes = zip(pairwise(WIDTHS), STRIDES, strict=True)
    blocks = [Block(c_in, c_out, stride) for (c_in, c_out), stride in shapes]
    return stem, nn.Sequential(*blocks), StripePool(STRIPES), WIDTHS[-1] * STRIPES, WIDTHS[-1]
