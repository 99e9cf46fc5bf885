"""What every model promises. A model's own test class inherits this, names the model, and adds its paper's facts.

class TestMyModel(ModelContract):
    name = "my-model"
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from daad import Detector, ImageError, TrainingError
from daad.data.preprocess import to_float
from daad.models.base import AnomalyModel
from daad.models.build import build
from daad.training.loop import train
from tests.images import striped

KILLED_FIT = """
import os, signal, sys
import torch
torch.set_num_threads(1)
import numpy as np
from daad import Detector
folder, name, kill_at, settings = sys.argv[1], sys.argv[2], int(sys.argv[3]), eval(sys.argv[4])

def progress(phase, done, total):
    if phase == "train" and done == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

images = np.load(folder + "/images.npy")
Detector.fit(images, model=name, image_size=32, run=folder + "/run", checkpoint_every=2, progress=progress, **settings)
"""


class ModelContract:
    """Inherit, set `name`, and every promise is checked on a tiny version of the model."""

    name: ClassVar[str]
    settings: ClassVar[dict[str, Any]] = {}

    def length(self, steps: int) -> dict[str, Any]:
        """The settings of a training of so many steps."""
        return {"steps": steps, "batch_size": 4}

    @pytest.fixture(autouse=True)
    def _one_thread(self) -> None:
        torch.set_num_threads(1)

    def tiny(self, channels: int = 1, height: int = 32, width: int = 32, **settings: Any) -> AnomalyModel:
        torch.manual_seed(0)
        chosen = {"size": "nano", **self.length(settings.pop("steps", 2)), **self.settings, **settings}
        return build(self.name, {"height": height, "width": width, "channels": channels, **chosen})

    def fit(self, images: Any, **options: Any) -> Detector:
        chosen = {"size": "nano", **self.length(options.pop("steps", 6)), **self.settings, **options}
        return Detector.fit(images, model=self.name, image_size=chosen.pop("image_size", 32), **chosen)

    @pytest.mark.parametrize("channels", [1, 3, 5])
    def test_forward_gives_the_promised_shapes_for_any_channel_count(self, channels: int) -> None:
        model = self.tiny(channels, height=32, width=48).eval()
        output = model(torch.rand(3, channels, 32, 48))
        assert output.score.shape == (3,)
        assert output.anomaly_map.shape == (3, 32, 48)
        assert output.reconstruction is None or output.reconstruction.shape == (3, channels, 32, 48)
        assert torch.isfinite(output.score).all() and torch.isfinite(output.anomaly_map).all()

    def test_every_parameter_belongs_to_a_player_and_learns(self) -> None:
        model = self.tiny()
        before = {name: value.clone() for name, value in model.named_parameters()}
        owned = [id(p) for stage in model.stages(8) for player in stage.players for p in player.parameters]
        assert len(owned) == len(set(owned))
        assert set(owned) == {id(p) for p in model.parameters()}
        train(model, striped(8, 32, 32, 1), to_float, seed=0, accelerator="cpu", precision="32-true")
        still = [name for name, value in model.named_parameters() if torch.equal(value, before[name])]
        assert still == []

    def test_a_players_loss_reaches_only_its_own_parameters(self) -> None:
        model = self.tiny().train()
        batch = torch.rand(4, 1, 32, 32)
        for stage in model.stages(8):
            for player in stage.players:
                mine = {id(p) for p in player.parameters}
                for parameter in model.parameters():
                    parameter.requires_grad_(id(parameter) in mine)
                    parameter.grad = None
                torch.stack(list(player.loss(batch).values())).sum().backward()
                assert all((p.grad is not None) == (id(p) in mine) for p in model.parameters())

    def judge(self) -> AnomalyModel:
        """A model that can judge images."""
        return self.tiny().eval()

    def test_a_score_does_not_depend_on_the_rest_of_the_batch(self) -> None:
        model = self.judge()
        images = torch.rand(5, 1, 32, 32)
        with torch.no_grad():
            together = model(images)
            alone = [model(images[i : i + 1]) for i in range(5)]
        torch.testing.assert_close(together.score, torch.cat([o.score for o in alone]), rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(
            together.anomaly_map, torch.cat([o.anomaly_map for o in alone]), rtol=1e-3, atol=1e-6
        )

    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_odd_image_sizes_and_depths_go_from_fit_to_prediction(self, dtype: str) -> None:
        images = [striped(1, 33 + i, 47, 3, seed=i, dtype=dtype)[0] for i in range(6)]
        detector = self.fit(images, steps=1)
        prediction = detector.predict_one(images[2])
        assert prediction.anomaly_map is not None and prediction.anomaly_map.shape == (35, 47)
        assert detector.preprocess.dtype == dtype
        assert 0 < prediction.p_value <= 1

    def test_the_same_seed_gives_the_same_bits_and_another_seed_others(self) -> None:
        images = striped(8, 32, 32, 1)
        first, second, other = (self.fit(images, steps=3, seed=seed) for seed in (0, 0, 1))
        assert state_bytes(first.model) == state_bytes(second.model)
        assert first.calibration == second.calibration
        assert state_bytes(first.model) != state_bytes(other.model)

    @pytest.mark.parametrize("place", ["detector", "detector.zip"])
    def test_saving_and_loading_changes_no_bit(self, tmp_path: Path, place: str) -> None:
        images = striped(8, 32, 32, 1)
        detector = self.fit(images, steps=2)
        loaded = Detector.load(detector.save(tmp_path / place))
        assert state_bytes(loaded.model) == state_bytes(detector.model)
        assert (loaded.calibration, loaded.preprocess) == (detector.calibration, detector.preprocess)
        assert loaded.provenance == detector.provenance
        before, after = detector.predict_one(images[0]), loaded.predict_one(images[0])
        assert before.score == after.score and before.p_value == after.p_value
        np.testing.assert_array_equal(before.anomaly_map, after.anomaly_map)

    def test_killed_and_resumed_equals_uninterrupted(self, tmp_path: Path) -> None:
        images = striped(10, 32, 32, 1)
        np.save(tmp_path / "images.npy", images)
        settings = {"size": "nano", **self.length(7), **self.settings}
        command = [sys.executable, "-c", KILLED_FIT, str(tmp_path), self.name, "5", repr(settings)]
        killed = subprocess.run(command, capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        resumed = self.fit(images, steps=7, run=tmp_path / "run", resume=True, checkpoint_every=2)
        assert resumed.provenance["training"]["resumed_at"] == 4
        whole = self.fit(images, steps=7)
        assert state_bytes(resumed.model) == state_bytes(whole.model)
        assert resumed.calibration == whole.calibration

    def test_onnx_gives_the_numbers_of_torch(self, tmp_path: Path) -> None:
        pytest.importorskip("onnxruntime")
        images = striped(8, 32, 48, 3)
        detector = self.fit(images, steps=3, image_size=(32, 48))
        parity = detector.export_onnx(tmp_path / "model.onnx", samples=images[:5])
        assert parity.score < 1e-4
        assert parity.anomaly_map < 1e-4

    def test_nan_images_are_refused(self) -> None:
        images = np.full((8, 32, 32, 1), 0.5, dtype=np.float32)
        images[3, 4, 5] = np.nan
        detector = self.fit(striped(8, 32, 32, 1), steps=1)
        with pytest.raises(ImageError, match=r"array\[3\]"):
            detector.score(images)
        predictions = list(detector.predict(images))
        assert [p.name for p in predictions if p.error] == ["array[3]"]

    def test_a_loss_that_is_not_finite_stops_the_training_with_step_and_term(self) -> None:
        model = self.tiny()
        with torch.no_grad():
            next(model.parameters()).fill_(torch.nan)
        with pytest.raises(TrainingError, match=r"step 0 .*term '\w+'"):
            train(model, striped(8, 32, 32, 1), to_float, seed=0, accelerator="cpu", precision="32-true")


def state_bytes(model: AnomalyModel) -> dict[str, bytes]:
    """The model's weights and statistics, bit by bit."""
    return {name: value.cpu().contiguous().numpy().tobytes() for name, value in model.state_dict().items()}
