"""Promises of the whole house: public names, light imports, every model under the contract."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import daad
from daad.detector.options import FitPlan
from daad.models.registry import MODELS, model_class

SURFACE = Path(__file__).parent / "api_surface.json"


def test_no_public_name_vanishes_or_appears_unnoticed() -> None:
    """Changing the API means changing tests/api_surface.json, and saying so in the CHANGELOG."""
    expected = json.loads(SURFACE.read_text())
    found = {name: members(getattr(daad, name)) for name in sorted(daad.__all__)}
    assert found == expected


def members(thing: object) -> list[str]:
    """The public attributes of a class of daad's own, nothing for the rest."""
    if not isinstance(thing, type) or issubclass(thing, Exception):
        return []
    own = {name for base in thing.__mro__ if base.__module__.startswith("daad") for name in vars(base)}
    fields = {*getattr(thing, "model_fields", ()), *getattr(thing, "__dataclass_fields__", ())}
    return sorted(name for name in own | fields if not name.startswith(("_", "model_")))


def test_every_registered_model_is_under_the_contract() -> None:
    from tests.contracts.model import ModelContract

    for path in (Path(__file__).parent / "models").glob("test_*.py"):
        importlib.import_module(f"tests.models.{path.stem}")
    assert {cls.name for cls in ModelContract.__subclasses__()} == set(MODELS)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_has_both_presets_and_they_are_legal(name: str) -> None:
    cls = model_class(name)
    assert set(cls.presets) >= {"paper", "small"}
    for preset in cls.presets:
        plan = FitPlan.make(model=name, preset=preset)
        plan.config(plan.size(), plan.size(), 3)


@pytest.mark.parametrize(
    "code", ["import daad", "import daad.cli; daad.cli.run(['--help'])", "import daad; daad.models()"]
)
def test_torch_is_not_imported_until_it_is_needed(code: str) -> None:
    heavy = "{'torch', 'numpy', 'matplotlib', 'scipy', 'pydantic'} & set(sys.modules)"
    check = f"import sys; found = {heavy}; assert not found, found"
    subprocess.run([sys.executable, "-c", f"{code}; {check}"], check=True, capture_output=True)


def test_help_answers_within_half_a_second_of_cpu_time() -> None:
    code = (
        "import resource, daad.cli; daad.cli.run(['--help']); print(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(done.stdout.splitlines()[-1]) < 0.5


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Detecter"):
        daad.Detecter  # noqa: B018
