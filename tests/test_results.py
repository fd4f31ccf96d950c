"""The tables of results are those of the committed records."""

import json

import pytest

import results


@pytest.mark.parametrize("page", results.pages(), ids=lambda page: page.parent.name)
def test_a_page_is_what_its_records_make_it(page):
    assert page.read_text(encoding="utf-8") == results.written(page)
    records = sorted((page.parent / "records").rglob("*.json"))
    assert records
    for path in records:
        protocol = json.loads(path.read_text())["protocol"]
        assert {"extractor", "weights_sha256", "resize", "versions", "evaluated", "reference"} <= protocol.keys()
        assert protocol["evaluated"]["sha256"]
        assert protocol["reference"]["fingerprint"]
        assert f"| `{path.stem}` |" in page.read_text(encoding="utf-8")
    for record, recipe in results.recipes(page):
        assert recipe.read_text(encoding="utf-8") == results.headed(record, recipe)


def record(features, training=None, **scores):
    return {
        "scores": {name: {"value": value, "interval": [value - 1, value + 1]} for name, value in scores.items()},
        "protocol": {
            "extractor": "Features",
            "weights_sha256": features * 8,
            "evaluated": {"kind": "samples of a model", "images_seen": 2000, "training": training},
            "reference": {"count": 10000, "split": "test", "pixels_sha256": "0123456789"},
        },
    }


TRAINING = {"seed": 3, "device": "cpu", "processes": 1, "seconds": 600.0, "processor_seconds": 150.0}


@pytest.fixture
def page(tmp_path):
    """A page of two blocks, and how a record is put under it."""
    (tmp_path / "README.md").write_text(
        "a\n<!-- records: python tests/results.py -->\nold\n<!-- end of records -->\nbetween\n"
        "<!-- records more: python tests/results.py -->\n<!-- end of records -->\nz\n"
    )

    def put(name, held):
        path = tmp_path / "records" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(held))

    return tmp_path / "README.md", put


def test_records_of_one_protocol_stand_in_one_table(page):
    path, put = page
    put("one", record("a", fid=12.3456))
    put("two", record("b", fid=3.0))
    put("three", record("a", TRAINING, psnr=30.0))
    assert results.written(path).split("between")[0] == (
        "a\n<!-- records: python tests/results.py -->\n\n"
        "samples of a model against 10,000 test images (01234567), features Features aaaaaaaa:\n\n"
        "| recipe | `one` | `three` |\n| --- | --- | --- |\n| images seen | 2,000 | 2,000 |\n| seed |  | 3 |\n"
        "| cost |  | 2.5 processor minutes |\n| fid | 12.35 (11.35 to 13.35) |  |\n| psnr |  | 30 (29 to 31) |\n\n"
        "samples of a model against 10,000 test images (01234567), features Features bbbbbbbb:\n\n"
        "| recipe | `two` |\n| --- | --- |\n| images seen | 2,000 |\n| fid | 3 (2 to 4) |\n\n<!-- end of records -->\n"
    )


@pytest.mark.parametrize(
    ("role", "field", "value"),
    [("reference", "pixels_sha256", "9876543210"), ("evaluated", "kind", "reconstructions"), (None, "covariance", "n")],
)
def test_what_compare_does_not_rank_stands_in_different_tables(page, role, field, value):
    path, put = page
    put("one", record("a", fid=1.0))
    other = record("a", fid=2.0)
    (other["protocol"] if role is None else other["protocol"][role])[field] = value
    put("two", other)
    text = results.written(path)
    assert "| recipe | `one` |\n" in text
    assert "| recipe | `two` |\n" in text


def test_a_recipe_says_what_its_record_says(page, monkeypatch):
    path, put = page
    monkeypatch.setattr(results, "ROOT", path.parent)
    put("more/mine", record("a", TRAINING, fid=12.3456, psnr=30.0))
    recipe = path.parent / "parts" / "mine.yaml"
    recipe.parent.mkdir()
    recipe.write_text("# Mine.\n#   command\nrun: {}\n# end\n")
    ((found, its),) = results.recipes(path)
    assert its == recipe
    written = results.headed(found, recipe)
    assert written == (
        "# Mine.\n#   command\n# Seen here, by records/more/mine.json: fid 12.35, psnr 30; 2,000 images seen, "
        "2.5 processor minutes.\nrun: {}\n# end\n"
    )
    recipe.write_text(written)
    put("more/mine", record("a", fid=1.0))
    assert results.headed(found, recipe) == (
        "# Mine.\n#   command\n# Seen here, by records/more/mine.json: fid 1; 2,000 images seen.\nrun: {}\n# end\n"
    )


def test_many_records_run_down(page):
    path, put = page
    put("more/b", record("a", fid=2.0))
    put("more/a", record("a", TRAINING | {"device": "H200", "processes": 4}, fid=1.0))
    assert results.written(path).split("between")[1] == (
        "\n<!-- records more: python tests/results.py -->\n\n"
        "samples of a model against 10,000 test images (01234567), features Features aaaaaaaa:\n\n"
        "| recipe | images seen | seed | cost | fid |\n| --- | --- | --- | --- | --- |\n"
        "| `a` | 2,000 | 3 | 10.0 minutes of 4 H200 | 1 (0 to 2) |\n| `b` | 2,000 |  |  | 2 (1 to 3) |\n\n"
        "<!-- end of records -->\nz\n"
    )
