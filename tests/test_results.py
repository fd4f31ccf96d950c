"""The tables of results are those of the committed records."""

import json

import pytest

import results


@pytest.mark.parametrize("page", results.pages(), ids=lambda page: page.parent.name)
def test_a_page_is_what_its_records_make_it(page):
    assert page.read_text(encoding="utf-8") == results.written(page)
    records = sorted((page.parent / "records").glob("*.json"))
    assert records
    for path in records:
        protocol = json.loads(path.read_text())["protocol"]
        assert {"extractor", "weights_sha256", "resize", "versions", "evaluated", "reference"} <= protocol.keys()
        assert protocol["evaluated"]["sha256"]
        assert protocol["reference"]["fingerprint"]


def test_a_changed_record_changes_the_page(tmp_path, monkeypatch):
    (page,) = [page for page in results.pages() if page.parent.name == "vqvae"]
    record = json.loads(next(iter(sorted((page.parent / "records").glob("*.json")))).read_text())
    record["scores"] = {"psnr": {"value": 12.3456, "interval": [12.0, 13.0], "settings": {}}}
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "mine.json").write_text(json.dumps(record))
    (tmp_path / "README.md").write_text(f"a\n{results.BEGIN}old\n{results.END}z\n")
    text = results.written(tmp_path / "README.md")
    assert text.startswith("a\n")
    assert text.endswith("z\n")
    assert "| `mine` |" in text
    assert "psnr 12.35 (12 to 13) |" in text
    assert "old" not in text
