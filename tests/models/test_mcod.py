"""MCOD keeps the contract, and follows the paper's equations and the released code."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.covariance import OAS

from daad import ConfigError
from daad.data.preprocess import to_float
from daad.models.mcod.model import MCOD, OFFICIAL
from daad.training.loop import train
from tests.contracts.model import ModelContract
from tests.images import striped


class TestMCOD(ModelContract):
    name = "mcod"
    settings: ClassVar[dict[str, Any]] = {"memory_slots": 4}

    def trained(self, **settings: Any) -> MCOD:
        model = self.tiny(**{"steps": 6, **settings})
        train(model, striped(12, 32, 32, 1), to_float, seed=0, accelerator="cpu", precision="32-true")
        return model

    def training(self) -> torch.Tensor:
        return torch.from_numpy(to_float(striped(12, 32, 32, 1)))

    def test_the_papers_score_is_the_squared_distance_from_the_memorys_read(self) -> None:
        model, images = self.trained(standardise=False), torch.rand(3, 1, 32, 32)
        encoded = model.encoder(images)
        expected = (encoded.feature - model.memory.read(encoded.logits)).square().sum(dim=1)
        torch.testing.assert_close(model(images).score, expected)

    def test_the_stable_score_is_the_squared_mahalanobis_distance_over_the_dimensions(self) -> None:
        model, images = self.trained(), torch.rand(3, 1, 32, 32)

        def residuals(images: torch.Tensor) -> Any:
            encoded = model.encoder(images)
            return (encoded.feature - model.memory.read(encoded.logits)).detach().double().numpy()

        training = residuals(self.training())
        oracle = OAS().fit(training)
        rounding = np.diag((1e-4 * training.mean(axis=0)) ** 2 + 1e-8)
        rows = residuals(images) - training.mean(axis=0)
        expected = (rows * np.linalg.solve(oracle.covariance_ + rounding, rows.T).T).sum(axis=1) / rows.shape[1]
        np.testing.assert_allclose(model(images).score.detach(), expected, rtol=1e-3)

    @pytest.mark.parametrize("score", ["memory", "neighbours"])
    def test_a_support_fraction_keeps_the_scores_of_outliers_in_the_training_images_high(self, score: str) -> None:
        images = striped(24, 32, 32, 1)
        images[:3] = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1))

        def score_ratio(support_fraction: float) -> float:
            model = self.tiny(steps=6, score=score, neighbours=3, support_fraction=support_fraction)
            train(model, images, to_float, seed=0, accelerator="cpu", precision="32-true")
            scores = model(torch.from_numpy(to_float(images))).score.detach()
            return float(scores[:3].mean() / scores[3:].mean())

        assert score_ratio(0.75) > 1.1 * score_ratio(1.0)

    @pytest.mark.parametrize("score", ["memory", "neighbours"])
    def test_the_mean_of_the_maps_shares_is_the_score(self, score: str) -> None:
        model, images = self.trained(score=score, neighbours=3), torch.rand(3, 1, 32, 32)
        output = model(images)
        shares = F.adaptive_avg_pool2d(output.anomaly_map[:, None], 8)  # bilinear, so border weights differ
        torch.testing.assert_close(shares.mean(dim=(1, 2, 3)), output.score, rtol=0.1, atol=1e-3)

    @pytest.mark.parametrize("standardise", [False, True])
    def test_neighbours_are_the_nearest_training_images(self, standardise: bool) -> None:
        model = self.trained(score="neighbours", neighbours=2, standardise=standardise)
        images = torch.rand(3, 1, 32, 32)
        rows = [model.whiten(model.encoder(batch).feature) for batch in (images, self.training())]
        distances = torch.cdist(*rows, compute_mode="donot_use_mm_for_euclid_dist")
        expected = distances.topk(2, largest=False).values.mean(dim=1)
        torch.testing.assert_close(model(images).score, expected, rtol=1e-3, atol=1e-5)

    def test_the_neighbour_score_can_be_exported(self, tmp_path: Path) -> None:
        images = striped(14, 32, 32, 1)
        self.fit(images, score="neighbours", neighbours=2, bank_items=11).export_onnx(tmp_path / "model.onnx")

    @pytest.mark.parametrize("standardise", [False, True])
    def test_a_training_image_is_not_its_own_neighbour_whether_the_bank_has_it_or_not(self, standardise: bool) -> None:
        model = self.trained(score="neighbours", neighbours=2, bank_items=11, standardise=standardise)
        training = self.training()
        feature = model.encoder(training).feature
        is_same = torch.cdist(feature, model.bank) < 1e-4 * feature.norm(dim=1, keepdim=True)
        distances = torch.cdist(model.whiten(feature), model.whiten(model.bank))
        distances[is_same] = torch.inf  # the image that is not in the bank keeps all its distances
        assert int(distances.isinf().sum()) == 11
        expected = distances.topk(2, largest=False).values.mean(dim=1)
        torch.testing.assert_close(model(training).score, expected, rtol=1e-3, atol=1e-5)
        alone = torch.cat([model(image[None]).score for image in training])
        torch.testing.assert_close(alone, expected, rtol=1e-3, atol=1e-5)

    def test_with_the_released_temperature_the_contrast_is_near_the_logarithm_of_the_queue(self) -> None:
        model = self.trained(temperature_contrast=10.0, batch_size=4)
        model.queue.push(torch.rand(32, 16), F.normalize(torch.randn(32, 16)), torch.rand(32, 4))
        (stage,) = model.train().stages(12)
        loss = stage.players[0].loss(torch.rand(4, 1, 32, 32))["contrast"]
        assert abs(float(loss.detach()) - math.log(33)) < 0.2

    def test_the_memory_does_not_change_before_the_warm_up_ends_and_has_no_gradient(self) -> None:
        trained = self.tiny(steps=4, warmup=1.0, settle=False)
        before = trained.memory.items.clone()
        train(trained, striped(8, 32, 32, 1), to_float, seed=0, accelerator="cpu", precision="32-true")
        # the warm-up ends with the last step, which writes the memory for the first time
        assert trained.seen == 4 and not torch.equal(trained.memory.items, before)
        warming_up = self.tiny(steps=4, warmup=1.0, settle=False)
        (stage,) = warming_up.stages(8)
        warming_up.train()
        terms = stage.players[0].loss(torch.rand(4, 1, 32, 32))
        assert "read" not in terms and not warming_up.memory.items.requires_grad
        stage.after_step(torch.rand(4, 1, 32, 32))
        assert torch.equal(warming_up.memory.items, before)

    def test_queue_and_momentum_encoder_are_updated_after_the_loss_of_a_batch(self) -> None:
        model = self.tiny(batch_size=4, momentum=0.5).train()
        (stage,) = model.stages(8)
        terms = stage.players[0].loss(torch.rand(4, 1, 32, 32))
        assert float(terms["contrast"].detach()) == 0  # an empty queue: only the positive
        assert model.queue.filled == 0
        with torch.no_grad():
            for parameter in model.encoder.parameters():
                parameter.add_(1)
        statistics = {name: b.clone() for name, b in model.keys.named_buffers() if "running" in name}
        weight = model.keys.slots.weight.clone()
        stage.after_step(torch.rand(4, 1, 32, 32))
        assert model.queue.filled == 4
        torch.testing.assert_close(model.keys.slots.weight, weight + 0.5)
        assert all(torch.equal(dict(model.keys.named_buffers())[name], value) for name, value in statistics.items())

    def test_the_artifact_holds_no_features_of_single_training_images(self) -> None:
        model = self.trained()
        assert model.queue.filled == 0 and not any(buffer.any() for buffer in model.queue.buffers())

    @pytest.mark.parametrize("off", ["use_memory", "use_contrast"])
    def test_a_switched_off_part_has_no_term_and_leaves_a_finite_score(self, off: str) -> None:
        model = self.tiny(steps=4, **{off: False})
        summary = train(model, striped(8, 32, 32, 1), to_float, seed=0, accelerator="cpu", precision="32-true")
        term = {"use_memory": "encoder/read", "use_contrast": "encoder/contrast"}[off]
        assert term not in summary.last_terms
        assert torch.isfinite(model(torch.rand(2, 1, 32, 32)).score).all()

    def test_the_official_form_scores_by_the_statistics_of_the_batch(self) -> None:
        model = self.trained(**OFFICIAL)
        images = torch.rand(4, 1, 32, 32)
        assert not torch.allclose(model(images).score[:2], model(images[:2]).score, rtol=1e-3)

    @pytest.mark.parametrize(
        ("images", "settings", "message"),
        [
            (8, {"memory_slots": 10}, "memory_slots 10 is more than the 6 training images"),
            (8, {"score": "neighbours", "neighbours": 7}, "neighbours 7 needs one training image more, found 6"),
            (8, {"score": "neighbours", "bank_items": 3}, "bank_items 3 must be above neighbours 5"),
        ],
    )
    def test_too_few_images_are_refused(self, images: int, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            self.fit(striped(images, 32, 32, 1), **settings)

    def test_constant_images_have_equal_scores(self) -> None:
        images = np.full((10, 32, 32, 1), 128, np.uint8)
        scores = self.fit(images).score(images)
        assert np.ptp(scores) < 1e-6
