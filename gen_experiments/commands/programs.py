"""The formats in which other programs compute a model's pure functions: ONNX and torch.export."""

import importlib.util
import io
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from gen_experiments.errors import UserError, quoted
from gen_experiments.pure_functions import PureFunction

BATCH = "batch"  # the name of the free axis
MAX_DIFFERENCE = 1e-3  # of numbers up to 1: far above rounding, far below another function
TRACED_ROWS = 2  # a program that is traced with one row would take no other number


class ProgramFormat(ABC):
    """A format of files, each of which holds one function for any number of rows.

    Attributes:
        suffix: the file name extension.
        needs: the packages that write and run the files; they are optional dependencies.
    """

    suffix: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()

    def check_installed(self) -> None:
        """Checks that the packages of the format are installed.

        Raises:
            UserError: a package is missing.
        """
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if missing:
            raise UserError(
                f"{self.suffix} files need {', '.join(missing)}: pip install 'gen-experiments[export]', or leave them "
                "out by --formats"
            )

    @abstractmethod
    def to_bytes(self, program: ExportedProgram, function: PureFunction) -> bytes:
        """Returns the contents of the file, weights included."""

    @abstractmethod
    def run(self, contents: bytes, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Returns what the file's function makes of inputs."""


class Onnx(ProgramFormat):
    """ONNX (https://onnx.ai), for runtimes of many languages; inputs and outputs are named as in `PureFunction`."""

    suffix = ".onnx"
    needs = ("onnx", "onnxscript", "onnxruntime")

    def to_bytes(self, program: ExportedProgram, function: PureFunction) -> bytes:
        """Returns the contents of the file, weights included."""
        outcome = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            input_names=list(function.inputs),
            output_names=list(function.outputs),
            dynamic_shapes=(tuple({0: BATCH} for _ in function.inputs),),
        )
        assert outcome is not None
        contents: bytes = outcome.model_proto.SerializeToString()
        return contents

    def run(self, contents: bytes, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Returns what onnxruntime makes of inputs."""
        from onnxruntime import InferenceSession

        session = InferenceSession(contents, providers=["CPUExecutionProvider"])
        named = {given.name: value.numpy() for given, value in zip(session.get_inputs(), inputs, strict=True)}
        return [torch.from_numpy(value) for value in session.run(None, named)]


class TorchExport(ProgramFormat):
    """What `torch.export.load` reads, for Python and for C++ without this package; inputs go by their places."""

    suffix = ".pt2"

    def to_bytes(self, program: ExportedProgram, function: PureFunction) -> bytes:
        """Returns the contents of the file, weights included."""
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        return buffer.getvalue()

    @torch.no_grad()
    def run(self, contents: bytes, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Returns what the program makes of inputs."""
        return _as_list(torch.export.load(io.BytesIO(contents)).module()(*inputs))


class _Traced(nn.Module):
    """A function with the weights that it reads, and no others."""

    def __init__(self, function: PureFunction) -> None:
        super().__init__()
        self.parts = nn.ModuleList(function.parts)
        self._compute = function.compute

    def forward(self, *inputs: Tensor) -> Any:
        return self._compute(*inputs)


@torch.no_grad()
def trace_function(name: str, function: PureFunction) -> ExportedProgram:
    """Returns the program of a function, for any number of rows.

    Raises:
        UserError: it cannot be traced, because its control flow depends on values.
    """
    inputs = tuple(value[:TRACED_ROWS] for value in function.inputs.values())
    try:
        return torch.export.export(
            _Traced(function).eval(), inputs, dynamic_shapes=(tuple({0: Dim(BATCH)} for _ in inputs),)
        )
    # Tracing a user's network may raise any error.
    except Exception as error:
        raise UserError(
            f"the {name} cannot be traced by torch.export, where a batch's size is asked for by x.shape[0], not by "
            f"len(x); --formats=[safetensors] leaves it out: {quoted(error)}"
        ) from error


def write_program(
    name: str, function: PureFunction, program: ExportedProgram, file_format: ProgramFormat
) -> tuple[bytes, float]:
    """Returns the contents of a function's file, and how far what it makes is from what the model makes.

    That is the largest difference over the outputs of the three rows; of integers, such as codes, the share of them
    that differ.

    Raises:
        UserError: the function cannot be written in this format, or the file computes something else.
    """
    inputs = list(function.inputs.values())
    try:
        contents = file_format.to_bytes(program, function)
        outcome = file_format.run(contents, inputs)
    # Exporters and runtimes may raise any error for a user's network.
    except Exception as error:
        raise UserError(f"the {name} cannot be written as {file_format.suffix}: {quoted(error)}") from error
    with torch.no_grad():
        expected = _as_list(function.compute(*inputs))
    pairs = [_difference(*pair) for pair in zip(outcome, expected, strict=True)]
    for difference, scale in pairs:
        if not difference <= MAX_DIFFERENCE * max(1.0, scale):
            raise UserError(f"{name}{file_format.suffix} would differ from the model by {difference:.1e}: not written")
    return contents, max(difference for difference, _ in pairs)


def shapes(function: PureFunction) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns the shapes and dtypes of a function's inputs and outputs, by their names, the batch by its name."""
    with torch.no_grad():
        outputs = _as_list(function.compute(*function.inputs.values()))
    named = {"inputs": dict(function.inputs), "outputs": dict(zip(function.outputs, outputs, strict=True))}
    return {
        side: {
            name: {"shape": [BATCH, *value.shape[1:]], "dtype": str(value.dtype).removeprefix("torch.")}
            for name, value in values.items()
        }
        for side, values in named.items()
    }


@contextmanager
def quietly() -> Iterator[None]:
    """Silences the exporters in its context: their logs and, in a failure, the whole graph."""
    before = logging.root.manager.disable
    try:
        logging.disable(logging.WARNING)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _difference(output: Tensor, expected: Tensor) -> tuple[float, float]:
    """Returns the difference of two tensors, and the numbers' size, which for integers is 1."""
    if expected.is_floating_point():
        return float((output.double() - expected.double()).abs().max()), float(expected.abs().max())
    return float((output != expected).double().mean()), 1.0


def _as_list(outputs: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)
