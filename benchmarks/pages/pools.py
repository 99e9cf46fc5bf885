"""docs/appendix/pools.md: outliers in a contaminated pool, and what an audit of good images finds and is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks import audits, outliers, outliers_paper
from benchmarks.pages.markdown import (
    MADE,
    Row,
    at,
    conditions,
    failures,
    lines_of,
    mean_of,
    measured,
    mebibytes,
    number,
    table,
    timed,
)
from benchmarks.pages.verdicts import Verdict, above, mean_where, opening, short, verdict

PAGE = "pools"
HEAD = f"""# Pools: finding what does not belong

{MADE}"""
AUROC, AVERAGE_PRECISION = "AUROC, p = 0.1", "Average precision, outliers as the positive class, p = 0.1"
LONG = "MCOD at the size and length of its paper"
ABLATED = ("without contrast", "without memory")
OUTLIERS = """## Outliers among images of one class

Train and score on the same images, without labels (E3Outlier's protocol): 500 seeded images of a class at 32 pixels,
and images of the other classes, a share p of the pool. Five classes; last step; no class left out. The CIFAR-10 copy is
coded as JPEG, so its figures compare in tendency only. *mcod* scores by the distance from what the memory gives back,
in units of the spread of the least odd three quarters of the pool; *mcod, plain* by that distance as the paper has it;
*mcod, neighbours* by the mean distance from the five nearest images of the pool in MCOD's features, in the same way, as
`score=neighbours` does. *pixel-knn* is that in plain pixels, *mean-image* the distance from the pool's mean,
*pixel-mahalanobis* that distance in units of the pool's covariance, *robust* in units of that of three quarters of the
pool, as in MCOD. `mcod official` has the released constants in the small network at the small
length. Figures are means over classes and seeds, with their spread. The classes 1, 3, 5, 7 and 9 are not here, because
our form of MCOD was settled on some of them.
"""
LENGTH = f"""## {LONG}

The same protocol with p = 0.1 and up to 2,000 images of the class: presets `paper` (our form) and `official` (the
released constants), a WideResNet-10-4 for 200 epochs of batches of 256. *mcod small* is the default preset on the same
pools. A figure stands only where all five classes of the data set were run.
"""
AUDITS = """## Auditing good images

Half of a category's defective test images, by chance, may be mixed in among its good training images; as many as were
mixed in are then dropped from the top of a ranking, and DAAD+ learns from the rest. DAAD+ is tested on the good test
images and the other half of the defective ones, after the audits by learnt models. *clean* and *contaminated* are DAAD+
on the good images alone, and on all of them with nothing dropped. *mcod, neighbours* ranks by nearest neighbours in
MCOD's features; *padim random* is PaDiM on a network that learnt nothing, an audit of seconds.
"""
LARGE = """## Memory and time by the number of images

`daad audit` with its default model, made-up grey images of 64 pixels. *Own* is memory that belongs to the process;
*resident* counts the mapped image cache too, which the system takes back when it is short.
"""
RANKED = (("AUROC", "auroc"), ("Average precision, outliers as the positive class", "aupr_outliers"))
COST = {
    "images": lambda row: f"{row['images']:,}",
    "own MiB, peak": lambda row: mebibytes(row["peak_own_bytes"]),
    "resident MiB, peak": lambda row: mebibytes(row["peak_rss_bytes"]),
    "page MiB": lambda row: f"{row['page_bytes'] / 2**20:.1f}",
    "seconds": lambda row: f"{row['seconds']:,.0f}",
}


def render(rows: dict[str, list[Row]], large: dict[str, Any] | None) -> str:
    """The whole page."""
    begin = opening(verdicts(rows["outliers"], rows["outliers_paper"]), PAGE)
    pools = [*outliers_part(rows["outliers"]), *length_part(rows["outliers_paper"]), *audits_part(rows["audits"])]
    return "\n".join(part for part in [HEAD, begin, *pools, LARGE, *timed(large, COST)] if part)


def verdicts(rows: list[Row], long: list[Row]) -> list[Verdict]:
    """MCOD against distances between pixels, and whether both its parts help, in small and at its own length."""
    flat = flat_scores(rows, outliers.JOBS, ("dataset", "share", "seed"))
    first = [row for row in flat if row["share"] == outliers.SHARES[0]]
    ours = {name: mean_where(first, at(name), method=outliers.STABLE) for _, name in RANKED}
    trivial = {row["method"] for row in first} - {"ae", "daad"}
    best = {name: best_of(first, name, [m for m in trivial if not m.startswith("mcod")]) for _, name in RANKED}
    parts = [mean_where(first, at("auroc"), method=f"mcod {part}") for part in ABLATED]
    whole_auroc = ours["auroc"]
    paper = flat_scores(long, outliers_paper.SUITE.jobs, ("dataset", "method", "seed"))
    by_data = {
        data: [mean_where(paper, at("auroc"), dataset=data, method=f"mcod paper{part}") for part in LONG_PARTS]
        for data in outliers.DATASETS
    }
    complete = {data: found for data, found in by_data.items() if None not in found}
    told = "; ".join(f"{data} {short(a)}, without {short(b)} and {short(c)}" for data, (a, b, c) in complete.items())
    return [
        verdict(
            "**MCOD** It ranks outliers of a pool better than other methods",
            [above(ours[name], best[name]) for _, name in RANKED],
            f"AUROC {short(ours['auroc'])}, best by pixels {short(best['auroc'])}; average precision "
            f"{short(ours['aupr_outliers'])}, {short(best['aupr_outliers'])}",
            PAGE,
            AUROC,
        ),
        verdict(
            "**MCOD** Contrast and memory both help",
            [above(whole_auroc, part) for part in parts],
            f"AUROC {short(whole_auroc)}; without contrast {short(parts[0])}, without memory {short(parts[1])}",
            PAGE,
            AUROC,
        ),
        verdict(
            "**MCOD** The same at its paper's size and length, on a GPU",
            [above(found[0], part) for found in complete.values() for part in found[1:]],
            f"AUROC on {told}",
            PAGE,
            LONG,
        ),
    ]


LONG_PARTS = ("", *(f" {part}" for part in ABLATED))


def flat_scores(rows: list[Row], jobs: Sequence[Row], fields: Sequence[str]) -> list[Row]:
    """One flat row a score, of those groups that are complete."""
    return [found for row in whole(measured(rows), jobs, fields) for found in scores_of(row)]


def best_of(rows: list[Row], name: str, methods: Sequence[str]) -> float | None:
    """The highest mean among these methods."""
    found = [mean for method in methods if (mean := mean_where(rows, at(name), method=method)) is not None]
    return max(found, default=None)


def outliers_part(rows: list[Row]) -> list[str]:
    """AUROC and average precision of every method on every data set; then by share."""
    done = whole(measured(rows), outliers.JOBS, ("dataset", "share", "seed"))
    flat = [found for row in done for found in scores_of(row)]
    if not flat:
        return [OUTLIERS, "Not measured yet.\n", failures(rows, outliers.SUITE.keys)]
    parts = [OUTLIERS, conditions(done, len(outliers.JOBS))]
    first = [row for row in flat if row["share"] == outliers.SHARES[0]]
    for title, name in RANKED:
        parts += [
            f"### {title}, p = {outliers.SHARES[0]}\n",
            table(first, outliers.DATASETS, at(name), down="method", across="dataset"),
        ]
    parts += by_share(measured(rows))
    alike = [row for row in measured(rows) if "prototype_cosine" in row]
    if alike:
        cosines = table(alike, outliers.DATASETS, at("prototype_cosine"), down="method", across="dataset", best=None)
        parts += ["### How alike the ten prototypes of the memory are: mean cosine between two\n", cosines]
    return [*parts, failures(rows, outliers.SUITE.keys)]


def by_share(rows: list[Row]) -> list[str]:
    """AUROC by the share p over all data sets, from seeds that are whole."""

    def compared(row: Row) -> bool:
        return bool(row["method"] != outliers.AT_ONE_SHARE)

    done = whole(list(filter(compared, rows)), list(filter(compared, outliers.JOBS)), ("seed",))
    if not done:
        return []
    seeds = ", ".join(map(str, sorted({row["seed"] for row in done})))
    flat = [{**found, "share": str(found["share"])} for row in done for found in scores_of(row)]
    columns = [str(share) for share in sorted(outliers.SHARES)]
    found = table(flat, columns, at("auroc"), down="method", across="share")
    return [f"### AUROC by the share p, all three data sets, seeds {seeds}\n", found]


def length_part(rows: list[Row]) -> list[str]:
    """AUROC and average precision of the long trainings, by data sets that are whole."""
    suite = outliers_paper.SUITE
    done = whole(measured(rows), suite.jobs, ("dataset", "method", "seed"))
    if not done:
        return [LENGTH, "Not measured yet.\n", failures(rows, suite.keys)]
    devices = ", ".join(sorted({row["device"] for row in done if "device" in row} - {"CPU"}))
    parts = [
        LENGTH,
        conditions(done, len(suite.jobs)),
        f"Presets `paper` and `official` on {devices or 'no GPU yet'}.\n",
    ]
    flat = [found for row in done for found in scores_of(row)]
    for title, name in RANKED:
        parts += [
            f"### {title}, up to {outliers_paper.NORMALS:,} images of the class\n",
            table(flat, outliers.DATASETS, at(name), down="method", across="dataset"),
        ]
    return [*parts, failures(rows, suite.keys)]


def whole(rows: list[Row], jobs: Sequence[Row], fields: Sequence[str]) -> list[Row]:
    """The rows of those groups by `fields` that every job of the suite has been run for, so that means compare."""

    def of(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in fields)

    wanted, found = Counter(map(of, jobs)), Counter(map(of, rows))
    return [row for row in rows if found[of(row)] == wanted[of(row)]]


def scores_of(row: Row) -> list[Row]:
    """One flat row a score of the run."""
    keys = {name: row[name] for name in ("dataset", "share", "normal", "seed") if name in row}
    method = row["method"]
    names = {"score": method, **{n: f"{method}, {n}" for n in ("plain", "neighbours")}}
    return [{**keys, **found, "method": names.get(n, n)} for n, found in row["scores"].items()]


def audits_part(rows: list[Row]) -> list[str]:
    """How well each ranking finds what was mixed in, which would be chosen, and what cleaning gives to DAAD+."""
    done = whole(measured(rows), audits.JOBS, ("share", "seed"))
    if not done:
        return [AUDITS, "Not measured yet.\n", failures(rows, audits.SUITE.keys)]
    ranked = [found for row in done for found in rankings_of(row)]
    parts = [AUDITS, conditions(done, len(audits.JOBS))]
    for share in sorted(audits.SHARES):
        ranks = [row for row in ranked if row["share"] == share]
        if not ranks:
            continue
        seeds = sorted({row["seed"] for row in ranks})
        learnt = [row for row in done if row["method"] in audits.LEARNT_FROM and row["seed"] in seeds]
        here = [row for row in learnt if row["share"] == share or row["method"] == audits.CLEAN]
        parts += [f"### {share:.0%} of the pool are defective\n", f"Seeds {', '.join(map(str, seeds))}.\n"]
        for title, path in RANKINGS:
            parts += [f"{title}:\n", table(ranks, audits.CATEGORIES, at(path), down="method")]
        parts += [
            "Image AUROC of DAAD+ from what is left:\n",
            table(here, audits.CATEGORIES, at("daad+_image_auroc"), down="method"),
        ]
    return [*parts, left_out_choice(ranked), failures(rows, audits.SUITE.keys)]


def rankings_of(row: Row) -> list[Row]:
    """One flat row a ranking of the run."""
    keys = {name: row[name] for name in audits.SUITE.keys}
    return [{**keys, **found, "method": name} for name, found in row.get("rankings", {}).items()]


RANKINGS = (
    ("Average precision", "aupr_outliers"),
    ("Precision among as many as were mixed in", "precision_at_k"),
    ("Precision among the first ten", "precision_at_10"),
)


def left_out_choice(rows: list[Row]) -> str:
    """The method that the other categories would choose for each, by average precision."""
    body = []
    for category in audits.CATEGORIES:
        others = [row for row in rows if row["category"] != category]
        names = list(dict.fromkeys(row["method"] for row in others))
        means = {n: mean_of([r for r in others if r["method"] == n], at("aupr_outliers")) or 0.0 for n in names}
        choice = max(means, key=means.__getitem__)
        here = [row for row in rows if row["category"] == category and row["method"] == choice]
        body.append([category, choice, number(mean_of(here, at("aupr_outliers")), 3)])
    head = ["category", "chosen by the other categories", "its average precision here"]
    return "### Which ranking to use\n\n" + lines_of(head, body)
