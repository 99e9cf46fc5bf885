"""What all features promise. The features' own test class inherits this, names them, and adds facts of its own.

class TestMyFeatures(FeaturesContract):
    name = "my-features"
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from daad import Detector
from daad.features.base import Features, map_shapes
from daad.features.registry import build_features, features_class
from tests.contracts.model import state_bytes
from tests.images import striped


class FeaturesContract:
    """Inherit, set `name`, and every promise is checked; `settings` make the features small."""

    name: ClassVar[str]
    settings: ClassVar[dict[str, Any]] = {}
    image_size: ClassVar[int] = 32

    @pytest.fixture(autouse=True)
    def _one_thread(self) -> None:
        torch.set_num_threads(1)

    @pytest.fixture
    def chosen(self, tmp_path: Path) -> Any:
        """What a user gives as `features`."""
        return self.name

    def network(self) -> nn.Module | None:
        """The user's own module, where there is one."""
        return None

    def tiny(self, channels: int = 1, height: int = 32, width: int = 48) -> Features:
        torch.manual_seed(0)
        shape = {"height": height, "width": width, "channels": channels, "size": "nano"}
        return build_features(self.name, {**shape, **self.settings}, self.network()).eval()

    def fit(self, images: Any, chosen: Any, **options: Any) -> Detector:
        settings = {name: value for name, value in self.settings.items() if name not in ("of", "settings", "network")}
        chosen_options = {"image_size": self.image_size, "size": "nano", "feature_settings": settings, **options}
        return Detector.fit(images, model="padim", features=chosen, **chosen_options)

    @pytest.mark.parametrize("channels", [1, 3, 5])
    def test_maps_have_the_shapes_of_the_spec_for_any_channel_count(self, channels: int) -> None:
        features = self.tiny(channels)
        with torch.no_grad():
            maps = features(torch.rand(2, channels, 32, 48))
        assert [tuple(each.shape[1:]) for each in maps] == [tuple(shape) for shape in features.shapes()]
        spec = features.spec()
        assert spec.channels == tuple(each.shape[1] for each in maps)
        assert list(spec.strides) == sorted(spec.strides) and spec.source
        assert all(torch.isfinite(each).all() for each in maps)

    @pytest.mark.parametrize(("height", "width"), [(33, 47), (64, 31)])
    def test_odd_sizes_are_taken(self, height: int, width: int) -> None:
        features = self.tiny(height=height, width=width)
        maps = features(torch.rand(1, 1, height, width))
        assert [tuple(each.shape[1:]) for each in maps] == [tuple(s) for s in map_shapes(features, 1, height, width)]

    def test_maps_do_not_depend_on_the_rest_of_the_batch(self) -> None:
        features, images = self.tiny(), torch.rand(4, 1, 32, 48)
        with torch.no_grad():
            together = features(images)
            alone = [features(images[i : i + 1]) for i in range(4)]
        for level, maps in enumerate(together):
            torch.testing.assert_close(maps, torch.cat([each[level] for each in alone]), rtol=1e-3, atol=1e-4)

    def test_what_is_not_trained_here_has_no_parameters(self) -> None:
        features = self.tiny()
        owned = [id(p) for stage in features.stages(8) for player in stage.players for p in player.parameters]
        assert set(owned) == {id(p) for p in features.parameters()}
        assert bool(owned) == features.spec().trainable == features_class(self.name).trainable

    def test_what_was_trained_elsewhere_has_a_hash(self, chosen: Any) -> None:
        detector = self.fit(striped(12, 32, 32, 1), chosen)
        record = detector.provenance["features"]
        elsewhere = self.name in ("lite0", "saved", "module")
        assert (record["sha256"] is not None) == elsewhere or self.name == "foreign"
        assert record["trainable"] == features_class(self.name).trainable

    def test_the_same_seed_gives_the_same_bits(self, chosen: Any) -> None:
        images = striped(12, 32, 32, 1)
        first, second = self.fit(images, chosen), self.fit(images, chosen)
        assert state_bytes(first.model) == state_bytes(second.model)

    def test_a_detector_on_them_is_saved_loaded_and_exported(self, chosen: Any, tmp_path: Path) -> None:
        pytest.importorskip("onnxruntime")
        images = striped(12, 32, 32, 3)
        detector = self.fit(images, chosen) if self.name != "saved" else self.fit(images[..., :1], chosen)
        network = {} if self.network() is None else {"features": self.network()}
        loaded = Detector.load(detector.save(tmp_path / "detector"), **network)
        assert state_bytes(loaded.model) == state_bytes(detector.model)
        np.testing.assert_array_equal(loaded.score(images), detector.score(images))
        assert loaded.provenance == detector.provenance
        parity = detector.export_onnx(tmp_path / "model.onnx")
        assert parity.score < 1e-4 and parity.anomaly_map < 1e-4
