"""A GPU where there is none: a device whose tensors are computed on the CPU, and which refuses what a GPU refuses.

Its tensors are a subclass that holds a tensor of the CPU and bears the name of PyTorch's device without data, `meta`,
which autograd serves like the CPU. A tensor of the CPU among them, a generator of the other device and `numpy()` are
errors, as on a GPU. Their values are those of the CPU but in formulas of PyTorch's own that make a number on the device
unseen, such as the second derivative of batch norm: there it is taken to be 1.
"""

from collections import OrderedDict
from contextlib import contextmanager

import pytest
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
# As on a GPU, these take a tensor of the CPU beside one of the device: a copy, and the indices of elements.
MIXED = {"aten::copy_", "aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


def is_simulated(device):
    return device is not None and torch.device(device).type == DEVICE.type


class OnDevice(Tensor):
    """A tensor of the device.

    Attributes:
        held: its values, a tensor of the CPU.
    """

    @staticmethod
    def __new__(cls, held):
        return Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            requires_grad=held.requires_grad,
            device=DEVICE,
        )

    def __init__(self, held):
        self.held = held.detach()

    def __repr__(self):
        return f"OnDevice({self.held})"

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), operator._schema.name
        others = [
            each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor) and not isinstance(each, cls)
        ]
        unseen = [each for each in others if each.device == DEVICE]
        of_cpu = [each for each in others if each.device != DEVICE and each.ndim]
        if of_cpu and (name not in MIXED or (name != "aten::copy_" and not isinstance(args[0], cls))):
            raise RuntimeError(
                f"all tensors must be on the same device: {name} of one on the device and one on the CPU"
            )
        leaves = "device" in kwargs and not is_simulated(kwargs["device"])
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")

        def held(value):
            if any(value is each for each in unseen):
                return torch.ones(value.shape, dtype=value.dtype)
            return value.held if isinstance(value, cls) else value

        result = operator(*tree_map(held, args), **tree_map(held, kwargs))
        if name == "aten::copy_" and not isinstance(args[0], cls):
            return args[0]
        if leaves:
            return result
        result = tree_map(lambda value: cls(value) if isinstance(value, Tensor) else value, result)
        return return_and_correct_aliasing(operator, args, kwargs, result)


class _ToDevice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return OnDevice(values.detach().clone())

    @staticmethod
    def backward(ctx, gradient):
        return gradient.held


class _ToCPU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.held.clone()

    @staticmethod
    def backward(ctx, gradient):
        return OnDevice(gradient)


def moved(values, device):
    """Returns a tensor on the simulated device or on the CPU."""
    if is_simulated(device) == isinstance(values, OnDevice):
        return values
    return (_ToDevice if is_simulated(device) else _ToCPU).apply(values)


class Generator(torch.Generator):
    """A generator that knows which device it is for."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls, device="cpu")
        made.place = torch.device(device)
        return made

    device = property(lambda self: self.place)


class _Calls(TorchFunctionMode):
    """Makes and moves tensors of the device, for which PyTorch has no kernels."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        first = args[0] if args else None
        here = isinstance(first, OnDevice)
        if function is Tensor.to:
            return _to(function, args, kwargs)
        if function is Tensor.cpu:
            return moved(first, "cpu")
        if function is Tensor.numpy and here:
            raise TypeError("a tensor of the device has no numpy(): copy it to the CPU")
        if function in (Tensor.tolist, Tensor.item) and here:
            return function(first.held)
        if function is torch._has_compatible_shallow_copy_type:
            return here == isinstance(args[1], OnDevice)
        if function is Tensor.new_tensor and here and kwargs.get("device") is None:
            return OnDevice(torch.tensor(*args[1:], dtype=kwargs.get("dtype") or first.dtype))
        if function is Tensor.__setitem__ and here and not isinstance(args[2], Tensor):
            args = (first, args[1], OnDevice(torch.tensor(args[2], dtype=first.dtype)))
        if function in (torch.where, Tensor.where) and any(isinstance(each, OnDevice) for each in args):
            dtype = next((each.dtype for each in args[1:] if isinstance(each, Tensor)), None)
            args = tuple(
                each if isinstance(each, Tensor) else OnDevice(torch.tensor(each, dtype=dtype)) for each in args
            )
        makes = is_simulated(kwargs.get("device"))
        if "generator" in kwargs and kwargs["generator"] is not None:
            on_device = makes or any(isinstance(each, OnDevice) for each in args)
            if on_device != is_simulated(kwargs["generator"].device):
                raise RuntimeError(f"the generator of {function.__name__} is for another device than its result")
        if makes:
            kwargs["device"] = torch.device("cpu")
            made = function(*args, **kwargs)
            return made if isinstance(made, OnDevice) else OnDevice(made).requires_grad_(made.requires_grad)
        return function(*args, **kwargs)


def _to(function, args, kwargs):
    """Does `Tensor.to` of a device, a dtype, both, or another tensor's."""
    values, *wanted = args
    copy = kwargs.pop("copy", False)
    if wanted and isinstance(wanted[0], Tensor):
        device, dtype = wanted[0].device, wanted[0].dtype
    else:
        device, dtype, *_ = torch._C._nn._parse_to(*wanted, **kwargs)
    if device is not None:
        values = moved(values, device)
    if dtype is not None:
        values = function(values, dtype)
    return values.clone() if copy else values


def _of_cpu(value):
    """Returns what a checkpoint holds with tensors of the CPU."""
    if isinstance(value, dict):
        made = OrderedDict() if isinstance(value, OrderedDict) else {}
        made.update({key: _of_cpu(each) for key, each in value.items()})
        return made
    if type(value) in (list, tuple):
        return type(value)(map(_of_cpu, value))
    return value.held if isinstance(value, OnDevice) else value


@contextmanager
def simulated_device():
    """Has the trainer, and commands by `--device=meta`, use the device."""
    start, save, autocast = SingleDeviceStrategy.__init__, torch.save, torch.autocast
    enabled = torch.is_autocast_enabled

    def of_cpu(device_type):
        return "cpu" if device_type == DEVICE.type else device_type

    with pytest.MonkeyPatch.context() as patch, _Calls():
        patch.setattr(
            SingleDeviceStrategy, "__init__", lambda self, device, *rest, **named: start(self, DEVICE, *rest, **named)
        )
        patch.setattr(CPUAccelerator, "setup_device", lambda self, device: None)
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch, "save", lambda value, *rest, **named: save(_of_cpu(value), *rest, **named))
        patch.setattr(torch, "autocast", lambda name, *rest, **named: autocast(of_cpu(name), *rest, **named))
        patch.setattr(torch, "is_autocast_enabled", lambda name="cpu": enabled(of_cpu(name)))
        yield
