"""Which of my good images are not good? `daad.audit(...)` ranks an unlabelled pool by anomaly score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daad.audit.options import AuditPlan
from daad.callable_package import make_callable
from daad.detector.options import RunOptions
from daad.runtime.progress import Progress
from daad.settings import takes

if TYPE_CHECKING:
    from daad.audit.audit import Audit


@takes(AuditPlan, RunOptions)
def audit(data: Any, *, progress: Progress | None = None, **options: Any) -> Audit:
    """Rank a pool of images that should all be good by anomaly score: the same as `daad.Audit.of`.

    Args:
        data: as in `Detector.fit`.
        progress: called with (phase, done, total) as work goes on.
        {options}
        **settings: those of the model (`daad models NAME`).
    """
    from daad.audit.audit import Audit

    return Audit.of(data, progress=progress, **options)


make_callable(__name__, audit)
