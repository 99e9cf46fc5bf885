"""Which of my good images are not good? `daad.audit(...)` ranks an unlabelled pool by anomaly score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daad.callable_package import make_callable

if TYPE_CHECKING:
    from daad.audit.audit import Audit


def audit(data: Any, *, progress: Any = None, **options: Any) -> Audit:
    """Rank a pool of images that should all be good by anomaly score; see `daad.Audit.of` for the options."""
    from daad.audit.audit import Audit

    return Audit.of(data, progress=progress, **options)


make_callable(__name__, audit)
