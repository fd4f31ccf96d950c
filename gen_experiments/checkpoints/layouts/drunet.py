"""The layout of DRUNet, whose published weights no network here can hold."""

from collections.abc import Mapping

from torch import Tensor

from gen_experiments.checkpoints.layouts.base import Converted, Layout, Unconvertible


class DPIRDRUNet(Layout):
    """`UNetRes` of github.com/cszn/DPIR (models/network_unet.py), as in `drunet_color.pth`."""

    source = "a DRUNet of DPIR"

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Returns whether there are its first and last convolution."""
        return "m_head.weight" in state and "m_tail.weight" in state and "m_down1.0.res.0.weight" in state

    def convert(self, state: Mapping[str, Tensor]) -> Converted:
        """Refuses them."""
        raise Unconvertible(
            "it takes pictures in [0, 1] with a map of the noise's strength as another channel, and DRUNet here takes "
            "pictures in [-1, 1] alone"
        )
