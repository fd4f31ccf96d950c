"""Units of scores, as tables show them behind a score's name."""

from collections.abc import Mapping

BITS_PER_CODE = "bits per code"
UNITS = {"psnr": "dB", "psnr_gain": "dB", "nll": BITS_PER_CODE}


def with_unit(name: str, of_model: Mapping[str, str] | None = None) -> str:
    """Returns a score's name with its unit, such as "val/psnr_best (dB)"; scores without a unit keep their name.

    Args:
        name: as it is logged.
        of_model: the units of the values that differ from model to model, such as `train/loss`, by their names.
    """
    unit = (of_model or {}).get(name) or UNITS.get(name.rpartition("/")[2].removesuffix("_best"))
    return name if unit is None else f"{name} ({unit})"
