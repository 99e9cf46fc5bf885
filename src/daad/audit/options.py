"""The options of an audit, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from daad.detector.options import ModelPlan, audit_settings


class AuditPlan(ModelPlan):
    """What decides an audit, apart from the images."""

    contamination: float = Field(
        0.05, gt=0, le=0.5, description="share of the images to call suspect, at most 0.5; it moves no score"
    )

    def default_settings(self) -> Mapping[str, Any]:
        return audit_settings(self.model)
