"""The files of an audit: audit.csv, contact_sheet.png and index.html."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from PIL import Image

from daad.data.decode import decode
from daad.data.generated_files import AUDIT, mark
from daad.data.sample import Failure, Sample
from daad.errors import ImageError
from daad.report import tables
from daad.report.cases import PAGE_BYTES, data_uri, display_shape, map_at
from daad.report.page import render
from daad.report.sheet import Thumbnail, write_contact_sheet
from daad.scoring.heat import RGB, display_rgb, overlay

if TYPE_CHECKING:
    from daad.audit.audit import Audit, PoolRow

MAX_LISTED = 200
MAX_GROUPS = 24
MAX_ALIKE = 6  # images shown of a group
NEAR_PEAK = 0.9  # share of a map's highest value: the threshold where the map is nowhere above the pool's
COPY_TOLERANCE = 1e-3  # relative difference of the scores of a picture and its copy


@dataclass(frozen=True, slots=True)
class AuditFigure:
    """An image of the pool with its pictures as data URIs."""

    row: PoolRow
    image: str
    overlay: str | None = None


def write_audit(audit: Audit, folder: str | Path, *, top: int = 60) -> Path:
    """Write the three files to `folder` and return the path of the page, which shows the `top` most suspect images.

    Of near-duplicates the most suspect one is shown, and others only if they are suspect with a different score.
    """
    target = Path(folder)
    mark(target, AUDIT)
    audit.write_csv(target / "audit.csv")
    not_shown: list[Failure] = []
    shown = list(_without_copies(audit))[:top]
    pictures = [(row, *pair) for row, sample in shown if (pair := _pictures(audit, sample, not_shown)) is not None]
    write_contact_sheet([_thumbnail(row, image) for row, image, _ in pictures], target / "contact_sheet.png")
    groups = _groups(audit, not_shown)
    count = max(1, 2 * len(pictures) + sum(map(len, groups)))
    limit = min(60_000, PAGE_BYTES // count)
    page = render(
        "audit.html.j2",
        title=f"Audit of {len(audit.rows):,} images",
        headline=_headline(audit),
        tiles=_tiles(audit),
        histogram=_histogram(audit),
        suspects=[AuditFigure(row, data_uri(image, limit), data_uri(heat, limit)) for row, image, heat in pictures],
        groups=[[AuditFigure(row, data_uri(image, limit)) for row, image in group] for group in groups],
        group_count=_group_count(audit),
        groups_found=counted(_group_count(audit), "group"),
        failures={"Images left out": audit.failures, "Images ranked but not shown": not_shown},
        max_listed=MAX_LISTED,
        provenance=list(tables.flat(audit.provenance)),
    )
    path = target / "index.html"
    path.write_bytes(page.encode("utf-8", "replace"))
    return path


def _without_copies(audit: Audit) -> Iterator[tuple[PoolRow, Sample]]:
    """The rows in rank order: of each group of near-duplicates the first, and suspect ones of a different score."""
    last_scores: dict[int, float] = {}
    for row, sample in zip(audit.rows, audit.samples, strict=True):
        last = last_scores.get(row.group)
        if last is None or (row.suspect and not isclose(row.score, last, rel_tol=COPY_TOLERANCE)):
            last_scores[row.group] = row.score
            yield row, sample


def _pictures(audit: Audit, sample: Sample, not_shown: list[Failure]) -> tuple[RGB, RGB] | None:
    """The image and its overlay at the size of display; None, and a failure, where the file has gone or changed.

    Where the map is nowhere above the pool's threshold, the overlay takes NEAR_PEAK of its highest value.
    """
    try:
        image = decode(sample.image, name=sample.name)
        prepared = audit.preprocess.apply(image, name=sample.name)
    except ImageError as error:
        not_shown.append(Failure(sample.name, str(error)))
        return None
    scored = audit.scorer(prepared[None])
    values = audit.preprocess.map_to_image(scored.anomaly_map[0], (image.shape[0], image.shape[1]))
    shape = display_shape(*image.shape[:2])
    picture = np.array(Image.fromarray(display_rgb(image)).resize((shape[1], shape[0]), Image.Resampling.LANCZOS))
    display_map = map_at(values, shape)
    return picture, overlay(picture, display_map, min(audit.map_threshold, NEAR_PEAK * float(display_map.max())))


def _groups(audit: Audit, not_shown: list[Failure]) -> list[list[tuple[PoolRow, RGB]]]:
    """The largest groups of near-duplicates, a few images of each."""
    members: dict[int, list[tuple[PoolRow, Sample]]] = {}
    for row, sample in zip(audit.rows, audit.samples, strict=True):
        if row.group_size > 1:
            members.setdefault(row.group, []).append((row, sample))
    groups = []
    for group in sorted(members.values(), key=lambda group: (-len(group), group[0][0].rank))[:MAX_GROUPS]:
        shown = [(row, _pictures(audit, sample, not_shown)) for row, sample in group[:MAX_ALIKE]]
        groups.append([(row, pair[0]) for row, pair in shown if pair is not None])
    return [group for group in groups if group]


def _thumbnail(row: PoolRow, picture: RGB) -> Thumbnail:
    alike = f"  +{row.group_size - 1} alike" if row.group_size > 1 else ""
    return Thumbnail(picture, f"#{row.rank}  {row.distance}{alike}", row.name, row.suspect)


def _headline(audit: Audit) -> str:
    suspects = sum(row.suspect for row in audit.rows)
    share = 100 * audit.provenance["contamination"]
    ties = audit.ties
    tied = (
        f" {ties:,} images have the same score where the suspects end: which of them are is arbitrary." if ties else ""
    )
    return (
        f"{suspects:,} of {len(audit.rows):,} images are called suspect: the {share:.3g} % least like the rest. "
        f"That share was asked for, not found; look at the pictures and judge where the odd ones end.{tied}"
    )


def counted(number: int, name: str) -> str:
    """`1 group`, `2 groups`."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _tiles(audit: Audit) -> list[tuple[str, str, str]]:
    """The most important numbers, as (label, number, what it comes from)."""
    extra = sum(row.group_size > 1 for row in audit.rows) - _group_count(audit)
    return [
        ("Images ranked", f"{len(audit.rows):,}", f"model {audit.provenance['model']}"),
        ("Suspect", f"{sum(row.suspect for row in audit.rows):,}", "highest scores"),
        ("Near-duplicates", f"{extra:,}", f"beyond the first, in {counted(_group_count(audit), 'group')}"),
        ("Left out", f"{len(audit.failures):,}", "could not be read"),
    ]


def _group_count(audit: Audit) -> int:
    return len({row.group for row in audit.rows if row.group_size > 1})


def _histogram(audit: Audit) -> Markup:
    from daad.report.plots import pool_plot  # matplotlib takes a second to import

    scores = np.array([row.score for row in audit.rows])
    suspects = np.array([row.suspect for row in audit.rows])
    return Markup(pool_plot(scores, suspects))
