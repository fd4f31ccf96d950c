"""Which fields of two protocols must be equal for their numbers to be ranked."""

import copy

import pytest

from gen_experiments.errors import UserError
from gen_experiments.evaluation.records import differences, read_record


@pytest.mark.parametrize(
    "field",
    [
        *("extractor", "weights_sha256", "resize", "extractor_knows_the_images", "covariance"),
        *(f"reference.{field}" for field in ("split", "count", "size", "crop", "pixels_sha256", "sha256")),
        *("evaluated.count", "evaluated.size"),
    ],
)
def test_what_must_be_equal_for_a_ranking(field):
    """And what may differ: seeds, paths and versions."""
    sides = {"evaluated": {"kind": "folder", "path": "a"}, "reference": {"kind": "split", "path": "a"}}
    one = {"scores": {}, "protocol": {**sides, "bootstrap": 100, "versions": {"torch": "2.0"}}}
    other = copy.deepcopy(one)
    for side in sides:
        other["protocol"][side] |= {"path": "b", "seed": 1}
    other["protocol"] |= {"bootstrap": 50, "versions": {"torch": "2.1"}}
    assert differences([one, other]) == {}
    role, _, name = field.rpartition(".")
    (other["protocol"][role] if role else other["protocol"])[name] = "another"
    assert differences([one, other]) == {field: [None, "another"]}


@pytest.mark.parametrize("contents", ["", "{}", '{"scores": {}, "protocol": {}}', "[" * 100_000, "\xff"])
def test_what_is_no_record_is_named(tmp_path, contents):
    (tmp_path / "eval.json").write_text(contents, encoding="latin-1")
    with pytest.raises(UserError, match=r"eval\.json holds no record of an evaluation: write it anew by evaluate"):
        read_record(tmp_path / "eval.json")
