"""`export`: writes a trained model for programs without this package."""

import dataclasses
import json
from pathlib import Path

from gen_experiments.checkpoints.exports import CONFIG, config_of, weights_bytes
from gen_experiments.checkpoints.loading import load_model, read_checkpoint
from gen_experiments.checkpoints.paths import WEIGHTS
from gen_experiments.commands.programs import (
    Onnx,
    ProgramFormat,
    TorchExport,
    quietly,
    shapes,
    trace_function,
    write_program,
)
from gen_experiments.commands.reading import plain_reading
from gen_experiments.errors import UserError
from gen_experiments.models.base import ImageModel
from gen_experiments.pure_functions import HasPureFunctions
from gen_experiments.storage import atomic_folder, check_empty

SAFETENSORS = "safetensors"
PROGRAMS: dict[str, ProgramFormat] = {"onnx": Onnx(), "torch_export": TorchExport()}
FORMATS = (SAFETENSORS, *PROGRAMS)


def export(checkpoint: str, out: str = "exported", formats: list[str] | None = None) -> None:
    """Writes a folder with a model's weights, its configuration, and its functions as programs.

    model.safetensors and config.json hold the whole model, and how its run's data frame pictures (`pictures`), so that
    commands take the folder as a checkpoint. A file is written for each function of the model: the averaged generator
    of a GAN; the encoder, the codebook and the decoder of a VQ-VAE; also the logits of a prior. config.json describes
    their inputs and outputs; the batch size is free. Every file is run once and compared with the model.

    Args:
        checkpoint: a checkpoint, or the folder of a run (its best checkpoint).
        out: the folder to write, which must be new or empty.
        formats: some of safetensors, onnx and torch_export; by default all.

    Raises:
        UserError: the checkpoint cannot be used, a format is unknown or its packages are missing, a function cannot be
            traced, or `out` is not empty or cannot be written.
    """
    chosen = FORMATS if formats is None else tuple(dict.fromkeys(formats))
    unknown = sorted(set(chosen) - set(FORMATS))
    if unknown or not chosen:
        raise UserError(f"there is no format {', '.join(unknown)}: choose from {', '.join(FORMATS)}")
    programs = [PROGRAMS[name] for name in chosen if name in PROGRAMS]
    for program in programs:
        program.check_installed()
    path = Path(checkpoint)
    check_empty(Path(out))
    model, contents = load_model(path, ImageModel, "be exported"), read_checkpoint(path)
    with atomic_folder(Path(out)) as folder:
        if SAFETENSORS in chosen:
            (folder / WEIGHTS).write_bytes(weights_bytes(contents["state_dict"]))
        functions = _write_programs(model, programs, folder)
        config = config_of(contents, dataclasses.asdict(model.image), plain_reading(checkpoint), functions)
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    kept = [WEIGHTS] if SAFETENSORS in chosen else []
    print(f"wrote {', '.join([*kept, CONFIG])} to {out}")


def _write_programs(model: ImageModel, programs: list[ProgramFormat], folder: Path) -> dict[str, object]:
    """Writes a file for each function and format, and returns their entries in config.json."""
    if not programs:
        return {}
    functions = model.pure_functions() if isinstance(model, HasPureFunctions) else {}
    if not functions:
        suffixes = " or ".join(file_format.suffix for file_format in programs)
        print(f"a {type(model).__name__} names no pure_functions: there is no {suffixes} file to write")
    said: dict[str, object] = {}
    for name, function in functions.items():
        with quietly():
            program = trace_function(name, function)
        files = []
        for file_format in programs:
            with quietly():
                contents, difference = write_program(name, function, program, file_format)
            files.append(f"{name}{file_format.suffix}")
            (folder / files[-1]).write_bytes(contents)
            print(f"{files[-1]}: within {difference:.1e} of the model", flush=True)
        said[name] = {**shapes(function), "files": files}
    return said
