"""What other programs make of an exported folder, by onnxruntime and by torch.export alone."""

import copy
import json

import numpy as np
import torch

from gen_experiments.checkpoints.loading import build_model


def by_onnxruntime(path, inputs):
    """Returns the outputs of an ONNX file by their names."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert {given.shape[0] for given in (*session.get_inputs(), *session.get_outputs())} == {"batch"}
    made = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return {
        given.name: torch.from_numpy(np.array(value)) for given, value in zip(session.get_outputs(), made, strict=True)
    }


def by_torch_export(path, inputs, outputs):
    """Returns the outputs of a .pt2 file by the names that they are to have."""
    with torch.no_grad():
        made = torch.export.load(path).module()(*inputs.values())
    return dict(zip(outputs, made if isinstance(made, tuple) else (made,), strict=True))


def check_function(folder, name, inputs, expected):
    """Compares both files of a function with what the model makes of the same inputs."""
    for made in (
        by_onnxruntime(folder / f"{name}.onnx", inputs),
        by_torch_export(folder / f"{name}.pt2", inputs, expected),
    ):
        assert made.keys() == expected.keys()
        for output, value in expected.items():
            assert made[output].dtype == value.dtype
            scale = max(1.0, float(value.abs().max()))
            torch.testing.assert_close(made[output], value, rtol=0, atol=1e-5 * scale)


def of_classes(hyper_parameters):
    """The same GAN with networks that take labels."""
    described = copy.deepcopy(hyper_parameters)
    for network in "generator", "discriminator":
        described[network]["init_args"]["conditional"] = True
    return described


def write_livened(hyper_parameters, path, gain=1.0):
    """Writes a checkpoint of a model that is described, with random weights under which its outputs are not small.

    At a gain of 2 they are large: a network of many layers rounds them by more than 1e-5.
    """
    model = build_model(json.dumps(hyper_parameters))
    state, source = model.state_dict(), torch.Generator().manual_seed(0)
    for name, weight in state.items():
        if weight.numel() and weight.ndim >= 2:  # a buffer of images may hold none
            weight.normal_(std=(gain / weight[0].numel()) ** 0.5, generator=source)
        elif name.endswith(("bias", "running_mean")):
            weight.uniform_(-0.1, 0.1, generator=source)
        elif weight.ndim == 1 and weight.is_floating_point():
            weight.uniform_(0.5, 1.5, generator=source)
    held = {"hyper_parameters": hyper_parameters, "state_dict": state, "images_seen": 32, "global_step": 2}
    torch.save(held, path)
    return path
