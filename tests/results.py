"""Writes the tables of measured results from the records beside them.

    python tests/results.py

In `configs/experiments/*/README.md` the lines between the marks `records` and `end of records` are made anew from
`records/*.json`, which `evaluate --json` wrote. `test_results.py` holds both together.
"""

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- records: python tests/results.py -->\n", "<!-- end of records -->\n"
HEADER = ("recipe", "images seen", "compared with", "features", "scores")


def pages():
    """Returns the pages that have such a table."""
    found = sorted((ROOT / "configs" / "experiments").glob("*/README.md"))
    return [page for page in found if BEGIN in page.read_text(encoding="utf-8")]


def written(page):
    """Returns the text of a page with its table made anew."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    rows = [HEADER, ["---"] * len(HEADER), *map(row, sorted((page.parent / "records").glob("*.json")))]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    return f"{before}{BEGIN}{table}{END}{after}"


def row(path):
    """Returns the cells of a record."""
    held = json.loads(path.read_text(encoding="utf-8"))
    protocol = held["protocol"]
    reference, evaluated = protocol["reference"], protocol["evaluated"]
    scores = []
    for name, found in held["scores"].items():
        interval = " ({:.4g} to {:.4g})".format(*found["interval"]) if "interval" in found else ""
        scores.append(f"{name} {found['value']:.4g}{interval}")
    return (
        f"`{path.stem}`",
        f"{evaluated['images_seen']:,}",
        f"{reference['count']:,} {reference['split']} images",
        f"{protocol['extractor']} {protocol['weights_sha256'][:8]}" if protocol["extractor"] else "none",
        ", ".join(scores),
    )


def main():
    """Writes all pages."""
    for page in pages():
        page.write_text(written(page), encoding="utf-8")
        print(f"wrote the table of {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
