"""No default changes unnoticed."""

import yaml

from defaults import FILE, defaults


def test_defaults_are_those_of_the_file():
    """A change that is meant is written into the file by `python tests/defaults.py`."""
    known, now = yaml.safe_load(FILE.read_text(encoding="utf-8")), defaults()
    for name in known.keys() | now.keys():
        assert now.get(name) == known.get(name), name
