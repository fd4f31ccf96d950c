"""Writes the tables of measured results from the records beside them.

    python tests/results.py

In `configs/experiments/*/README.md` the lines between the marks `records` and `end of records` are made anew from
`records/*.json`, which `evaluate --json` wrote. `test_results.py` holds both together.
"""

import json
from pathlib import Path

from gen_experiments.commands.printed import described_damage

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
    records = sorted((page.parent / "records").glob("*.json"))
    parts = [table([HEADER, ["---"] * len(HEADER), *map(row, records)]), *map(by_damage, records)]
    return f"{before}{BEGIN}{''.join(parts)}{END}{after}"


def table(rows):
    """Returns rows of cells as Markdown."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def by_damage(path):
    """Returns the table of a record's kinds of damage, with a line above it; nothing where there are none."""
    kinds = json.loads(path.read_text(encoding="utf-8")).get("by_damage", [])
    if not kinds:
        return ""
    names = list(kinds[0]["scores"])
    rows = [["damage", *names], ["---"] * (1 + len(names))]
    for kind in kinds:
        scores = [kind["scores"][name] for name in names]
        rows.append([described_damage(kind["damage"]), *(f"{found['value']:.4g}{interval(found)}" for found in scores)])
    return f"\n`{path.stem}`, every picture damaged alike:\n\n{table(rows)}"


def interval(found):
    """Returns the interval of a score in brackets, if it has one."""
    return " ({:.4g} to {:.4g})".format(*found["interval"]) if "interval" in found else ""


def row(path):
    """Returns the cells of a record."""
    held = json.loads(path.read_text(encoding="utf-8"))
    protocol = held["protocol"]
    reference, evaluated = protocol["reference"], protocol["evaluated"]
    scores = []
    for name, found in held["scores"].items():
        scores.append(f"{name} {found['value']:.4g}{interval(found)}")
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
