"""Units of scores, as tables show them behind a score's name."""

UNITS = {"psnr": "dB", "psnr_gain": "dB", "nll": "bits per code"}


def with_unit(name: str) -> str:
    """Returns a score's name with its unit, such as "val/psnr_best (dB)"; scores without a unit keep their name."""
    unit = UNITS.get(name.rpartition("/")[2].removesuffix("_best"))
    return name if unit is None else f"{name} ({unit})"
