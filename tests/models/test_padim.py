"""PaDiM keeps the contract on any features; its Gaussians equal numpy's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from daad import ArtifactError, ConfigError, Detector, TrainingError
from daad.data.preprocess import to_float
from daad.models.padim import PaDiM, PaDiMConfig
from daad.training.loop import train
from tests.contracts.model import ModelContract, state_bytes
from tests.images import striped
from tests.networks import Pyramid


class TestPaDiM(ModelContract):
    name = "padim"

    def length(self, steps: int) -> dict[str, Any]:
        return {"feature_settings": {"steps": steps, "batch_size": 4}}

    def fit(self, images: Any, **options: Any) -> Detector:
        if options.get("features", "ccd") != "ccd":
            options.setdefault("feature_settings", {})
        return super().fit(images, **options)

    def trained(self, images: Any = None, **settings: Any) -> PaDiM:
        if settings.get("features") == "random":
            settings["feature_settings"] = {}
        model = self.tiny(**settings)
        images = striped(40, 32, 32, 1) if images is None else images
        train(model, images, to_float, seed=0, accelerator="cpu", precision="32-true")
        return model

    def test_the_mean_squared_distance_of_training_images_is_the_number_of_features(self) -> None:
        images = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 1), dtype=np.uint8)
        model = self.trained(images, features="random", dimensions=6, shrinkage=0.0, ridge=0.0)
        distances = model.places(model.features(torch.from_numpy(to_float(images)))[:3])
        assert float(distances.detach().square().mean()) == pytest.approx(6, rel=0.01)

    def test_a_position_has_the_mahalanobis_distance_of_numpy(self) -> None:
        model = self.trained(features="random", dimensions=5, shrinkage=0.1, ridge=0.0)
        images = torch.from_numpy(to_float(striped(40, 32, 32, 1)))
        f = model.places.gather(model.features(images)[:3])[:, 9].detach().double().numpy()
        covariance = np.cov(f.T, bias=True)
        regularised = 0.9 * covariance + 0.1 * np.trace(covariance) / 5 * np.eye(5)
        centred = f - f.mean(axis=0)
        expected = np.sqrt(np.einsum("ni,ij,nj->n", centred, np.linalg.inv(regularised), centred))
        distances = model.places(model.features(images)[:3]).flatten(1)[:, 9]
        np.testing.assert_allclose(distances.detach().numpy(), expected, rtol=1e-3)

    def test_the_score_is_the_maps_maximum(self) -> None:
        output = self.trained()(torch.rand(3, 1, 32, 32))
        assert torch.equal(output.score, output.anomaly_map.amax(dim=(1, 2)))

    def test_the_map_is_high_at_a_defect(self) -> None:
        images = striped(40, 32, 32, 1)
        defective = images[0].copy()
        defective[8:14, 20:26] = 255
        anomaly_map = self.trained(images)(torch.from_numpy(to_float(defective[None]))).anomaly_map[0]
        inside, outside = anomaly_map[8:14, 20:26].mean(), anomaly_map[20:, :12].mean()
        assert inside > 1.5 * outside

    def test_constant_features_are_legal(self) -> None:
        images = np.full((10, 32, 32, 1), 128, np.uint8)
        detector = self.fit(images, steps=1)
        scores = detector.score(np.concatenate([images, striped(1, 32, 32, 1)]))
        assert np.isfinite(scores).all() and scores[-1] > scores[:-1].max()
        assert not any(prediction.is_anomalous for prediction in detector.predict(images))
        assert not detector.predict_one(images[0]).is_anomalous  # the rest of the batch does not matter

    @pytest.mark.parametrize("level", [0, 77, 255])
    def test_a_fit_to_equal_images_scores_others_higher(self, level: int) -> None:
        detector = self.fit(np.full((10, 32, 32, 1), level, np.uint8), features="random")
        same, other = detector.score(np.stack([np.full((32, 32, 1), level), striped(1, 32, 32, 1)[0]]).astype(np.uint8))
        assert same == 0 < other < np.inf

    @pytest.mark.parametrize("images", [2, 12])
    def test_one_pixel_maps_have_finite_scores(self, images: int) -> None:
        detector = self.fit(striped(images, 16, 16, 1), features="random", image_size=16)
        assert np.isfinite(detector.score(striped(images, 16, 16, 1))).all()

    def test_a_network_that_fails_on_the_meta_device_is_run_on_an_image(self) -> None:
        class Numpy(Pyramid):
            def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
                torch.from_numpy(images.detach().numpy())
                return super().forward(images)

        model = PaDiM(PaDiMConfig.make(height=32, width=32, channels=1, size="nano", features="module"), Numpy())
        assert model.shapes == [(8, 32, 32), (8, 16, 16), (8, 8, 8)]

    def test_a_network_for_other_images_is_refused_with_its_error(self) -> None:
        with pytest.raises(
            ConfigError, match=r"fails on images of shape 1 x 3 x 32 x 32 .* expected input.* 1 channels"
        ):
            self.fit(striped(10, 32, 32, 3), features=Pyramid())

    def test_gaussians_that_need_too_much_memory_are_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"4096 places of 400 dimensions need .* raise stride"):
            self.tiny(size="paper", height=64, width=64, stride=1, dimensions=400)

    @pytest.mark.parametrize("name", ["saved", "saved.zip", "weights"])
    def test_features_are_loaded_from_a_saved_detector(self, tmp_path: Path, name: str) -> None:
        images = striped(10, 32, 32, 1)
        source = self.fit(images)
        saved = source.save(tmp_path / ("saved" if name == "weights" else name))
        origin = saved / "weights.safetensors" if name == "weights" else saved
        taken = self.fit(images, features=str(origin))
        assert state_bytes(taken.model.features.network.network) == state_bytes(source.model.features.network)
        assert taken.model.features.network.heads is None
        again = self.fit(images, features=str(taken.save(tmp_path / "taken")))
        assert state_bytes(again.model.features.network) == state_bytes(taken.model.features.network)
        (saved / "weights.safetensors" if saved.is_dir() else saved).unlink()
        image = striped(1, 32, 32, 1, seed=3)[0]
        assert Detector.load(tmp_path / "taken").predict_one(image).score == taken.predict_one(image).score

    def test_features_of_a_detector_that_was_tampered_with_are_refused(self, tmp_path: Path) -> None:
        images = striped(10, 32, 32, 1)
        saved = self.fit(images).save(tmp_path / "saved")
        content = bytearray((saved / "weights.safetensors").read_bytes())
        content[-1] ^= 1
        (saved / "weights.safetensors").write_bytes(content)
        for path in (saved, saved / "weights.safetensors"):
            with pytest.raises(ArtifactError, match="was changed after it was saved"):
                self.fit(images, features=str(path))

    def test_features_that_are_not_there_or_do_not_fit_are_refused(self, tmp_path: Path) -> None:
        images = striped(10, 32, 32, 1)
        with pytest.raises(ConfigError, match=r"unknown features 'cdc' \(did you mean 'ccd'\?\); known: ccd, random"):
            self.fit(images, features="cdc")
        saved = self.fit(images).save(tmp_path / "saved")
        with pytest.raises(ConfigError, match="learnt from images with 1 channels, and these have 3"):
            self.fit(striped(10, 32, 32, 3), features=str(saved))
        other = Detector.fit(images, model="ae", size="nano", steps=1, image_size=32).save(tmp_path / "other")
        with pytest.raises(ConfigError, match="has no features that another could stand on"):
            self.fit(images, features=str(other))

    def test_steps_are_refused_where_nothing_is_trained_by_steps(self) -> None:
        with pytest.raises(ConfigError, match="steps: neither padim nor features 'random' learn by steps"):
            Detector.fit(striped(10, 32, 32, 1), model="padim", features="random", image_size=32, steps=3)

    def test_a_renamed_model_is_refused_with_its_new_name(self) -> None:
        with pytest.raises(ConfigError, match="'ccd-padim' is called model 'padim' with features 'ccd' now"):
            Detector.fit(striped(10, 32, 32, 1), model="ccd-padim")

    def test_a_network_with_nan_features_is_refused(self) -> None:
        network = Pyramid()
        torch.nn.init.constant_(network.filters.bias, torch.nan)
        with pytest.raises(TrainingError, match="features of the training images are not finite"):
            self.fit(striped(10, 32, 32, 1), features=network)

    @pytest.mark.parametrize("share", [-0.1, 2.0, "oats"])
    def test_an_illegal_shrinkage_is_refused(self, share: object) -> None:
        with pytest.raises(ConfigError, match="shrinkage"):
            self.tiny(shrinkage=share)

    def test_any_module_that_gives_maps_can_be_the_features(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        network, images = Pyramid(), striped(20, 32, 48, 1)
        before = state_bytes(network)
        detector = self.fit(images, features=network, image_size=(32, 48))
        assert state_bytes(detector.model.features.network) == before and network.filters.weight.requires_grad
        assert list(detector.model.parameters()) == []
        assert detector.provenance["features"]["source"] == "a module of the user's own, Pyramid"
        assert detector.provenance["features"]["strides"] == [1, 2, 4]
        saved = detector.save(tmp_path / "saved")
        with pytest.raises(ConfigError, match=r"own, Pyramid, whose code is not stored: .*features=MODULE"):
            Detector.load(saved)
        loaded = Detector.load(saved, features=Pyramid())
        assert state_bytes(loaded.model) == state_bytes(detector.model)
        on_ccd = self.fit(images, steps=1).save(tmp_path / "on_ccd")
        with pytest.raises(ConfigError, match="stands on features 'ccd'; load it without"):
            Detector.load(on_ccd, features=Pyramid())
        assert loaded.predict_one(images[0]).score == detector.predict_one(images[0]).score

    def test_modules_without_maps_and_models_without_features_are_refused(self) -> None:
        images = striped(10, 32, 32, 1)
        with pytest.raises(ConfigError, match="must give a list of maps"):
            self.fit(images, features=nn.Conv2d(1, 8, 3))
        with pytest.raises(ConfigError, match=r"'ae' has a network of its own; .* padim, igd"):
            Detector.fit(images, model="ae", image_size=32, features=Pyramid())
