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
from daad.features.registry import FEATURES
from daad.models.registry import MODELS, ON_FEATURES, model_class

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


WITHOUT_TORCH = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning_fabric", "kornia"):
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Absent())
import daad
for module in pkgutil.walk_packages(daad.__path__, "daad.", onerror=lambda name: None):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ImportError:
            print(module.name)
"""
LEARNS = (  # what may need torch: all that learns, detectors of boxes, and the torch engine
    *("daad.audit.audit", "daad.boxes.", "daad.detector.", "daad.features.", "daad.models.", "daad.nn."),
    *("daad.sklearn", "daad.stages", "daad.training.", "daad.runtime.engines.torch"),
)


def test_without_torch_all_but_learning_imports() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], check=True, capture_output=True, text=True)
    absent = done.stdout.split()
    assert [name for name in absent if not name.startswith(LEARNS)] == []
    there = {"daad.features.registry", "daad.models.registry", "daad.detector.options", "daad.boxes.options"}
    assert not there & set(absent)  # what commands and their help are made of


@pytest.mark.parametrize(
    "code", ["import daad; daad.Detector", "from daad.cli import run; sys.exit(run(['fit', 'photos', '-o', 'det']))"]
)
def test_without_torch_learning_says_what_to_install(code: str) -> None:
    blocked = WITHOUT_TORCH.partition("import daad")[0].replace("ImportError(f", "ModuleNotFoundError(name=name, *[f")
    blocked = blocked.replace('is not here")', 'is not here"])')
    done = subprocess.run([sys.executable, "-c", f"{blocked}\n{code}"], check=False, capture_output=True, text=True)
    assert done.returncode in (1, 2) and done.stderr.splitlines()[-1].endswith("pip install 'daad[train]'")


COLD_PREDICT = """
import sys
from daad.cli import run
assert run(["predict", sys.argv[1], sys.argv[2]]) == 0
absent = {"lightning_fabric", "kornia", "matplotlib", "daad.training", "torch._dynamo", "sympy"}
print(sorted(absent & set(sys.modules)))
"""


def test_predicting_imports_no_training(good_folder: Path, tmp_path: Path) -> None:
    options = {"image_size": 32, "size": "nano", "steps": 1}
    for model in MODELS:
        extra = {"memory_slots": 4} if model == "mcod" else {"expert_steps": 1} if model == "utad" else {}
        chosen = {**options, **extra, **({"feature_settings": {"steps": 1}} if model in ON_FEATURES else {})}
        if model == "padim":
            del chosen["steps"]
        detector = daad.Detector.fit(good_folder, model=model, **chosen).save(tmp_path / model)
        image = next(good_folder.iterdir())
        command = [sys.executable, "-c", COLD_PREDICT, str(detector), str(image)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "[]"


def test_a_verb_can_be_called_again_after_its_package_is_imported() -> None:
    assert daad.models() == daad.models()
    importlib.import_module("daad.audit.audit")
    with pytest.raises(daad.DataError, match="does not exist"):
        daad.audit("nowhere")
    importlib.import_module("daad.search.search")
    with pytest.raises(daad.ArtifactError, match="no such detector"):
        daad.search("nowhere", "nowhere")


def test_every_registered_name_of_features_is_under_the_contract() -> None:
    from tests.contracts.features import FeaturesContract

    for path in (Path(__file__).parent / "features").glob("test_*.py"):
        importlib.import_module(f"tests.features.{path.stem}")
    assert {cls.name for cls in FeaturesContract.__subclasses__()} == set(FEATURES)


def test_help_answers_within_half_a_second_of_cpu_time() -> None:
    code = (
        "import resource, daad.cli; daad.cli.run(['--help']); print(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(done.stdout.splitlines()[-1]) < 0.5


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Detecter"):
        daad.Detecter  # noqa: B018
