"""IGD keeps the contract, and follows the paper and its code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daad import ArtifactError, Detector
from daad.data.preprocess import to_float
from daad.models.igd.model import IGD, IGDConfig
from daad.training.loop import train
from tests.contracts.model import ModelContract, state_bytes
from tests.images import striped
from tests.networks import Pyramid


class TestIGD(ModelContract):
    name = "igd"

    def length(self, steps: int) -> dict[str, Any]:
        return {"steps": 4, "feature_settings": {"steps": steps, "batch_size": 4}}

    def fit(self, images: Any, **options: Any) -> Detector:
        if options.get("features", "ccd") != "ccd":
            options.setdefault("feature_settings", {})
        return super().fit(images, **options)

    def on_random(self, **settings: Any) -> IGD:
        config = IGDConfig.make(height=32, width=32, channels=1, size="nano", features="random", **settings)
        return IGD(config)

    def trained(self, **settings: Any) -> IGD:
        model = self.tiny(**settings)
        train(model, striped(12, 32, 32, 1), to_float, seed=0, accelerator="cpu", precision="32-true")
        return model

    def test_the_score_mixes_the_image_and_its_worst_patch_by_the_released_codes_weights(self) -> None:
        model, images = self.trained(), torch.rand(3, 1, 32, 32)
        image = model.branches["image"](images, model.pooled(images))
        patch_scores = []
        for row in range(0, 25, 4):
            for column in range(0, 25, 4):
                patches = images[:, :, row : row + 8, column : column + 8]
                patch = model.branches["patch"](patches, model.pooled(patches))
                patch_scores.append(0.9 * patch.recon + 0.1 * patch.gauss)
        expected = 0.5 * (0.1 * image.recon + 0.9 * image.gauss) + 0.5 * torch.stack(patch_scores).amax(dim=0)
        torch.testing.assert_close(model(images).score, expected)

    def test_a_stopped_training_resumes_only_with_the_same_features(self, tmp_path: Path) -> None:
        images, run = striped(10, 32, 32, 1), tmp_path / "run"
        first, second = Pyramid(), Pyramid()
        self.fit(images, features=first, run=run, checkpoint_every=2)
        resumed = self.fit(images, features=first, run=run, resume=True)
        assert resumed.provenance["training"]["resumed_at"] > 0
        with pytest.raises(ArtifactError, match="other settings, network, data or seed"):
            self.fit(images, features=second, run=run, resume=True)

    def test_without_the_local_branch_the_score_is_that_of_the_image(self) -> None:
        model, images = self.trained(local=False), torch.rand(3, 1, 32, 32)
        image = model.branches["image"](images, model.pooled(images))
        torch.testing.assert_close(model(images).score, 0.1 * image.recon + 0.9 * image.gauss)

    def test_gauss_is_zero_at_the_centre_and_one_far_from_it(self) -> None:
        branch = self.tiny().branches["image"]
        branch.fit_gaussian(torch.randn(50, 8) * 5 + 3)
        far = branch.centre + 1e3
        assert branch.gauss(torch.stack([branch.centre, far])).tolist() == [0, 1]

    def test_centre_and_sigma_are_those_of_the_codes_and_sigma_is_at_least_one(self) -> None:
        branch, codes = self.tiny().branches["image"], torch.randn(50, 8) * 5 + 3
        branch.fit_gaussian(codes)
        torch.testing.assert_close(branch.centre, codes.mean(dim=0))
        distances = np.linalg.norm(codes.numpy() - codes.numpy().mean(axis=0), axis=1)
        assert float(branch.sigma) == pytest.approx(distances.mean(), rel=1e-5)
        branch.fit_gaussian(codes * 1e-3)
        assert float(branch.sigma) == 1

    def test_the_patch_centre_can_use_a_random_share_of_the_patches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counts: list[int] = []
        model = self.tiny()
        images = torch.rand(40, 1, 32, 32)
        monkeypatch.setattr(model.branches["patch"], "fit_gaussian", lambda codes: counts.append(len(codes)))
        model.fit_gaussians(lambda: iter(images.split(8)), code_share=0.5)
        assert 0.4 < counts[0] / (40 * len(model.grid)) < 0.6

    def test_both_players_of_a_step_get_the_same_patches_and_the_next_step_new_ones(self) -> None:
        model, drawn = self.tiny(), []
        model.branch_inputs, draw = (lambda images: drawn.append(draw(images)) or drawn[-1]), model.branch_inputs
        *_, detector = model.stages(8)
        for images in (torch.rand(4, 1, 32, 32), torch.rand(4, 1, 32, 32)):
            for player in detector.players:
                player.loss(images)
        assert len(drawn) == 2 and not torch.equal(drawn[0]["patch"], drawn[1]["patch"])

    def test_the_final_centre_is_that_of_all_training_images(self) -> None:
        model = self.trained()
        images = torch.from_numpy(to_float(striped(12, 32, 32, 1)))
        codes = model.branches["image"].encode(model.frozen_pooled(images))
        torch.testing.assert_close(model.branches["image"].centre, codes.mean(dim=0), rtol=1e-4, atol=1e-5)

    def test_the_centre_is_estimated_again_every_ten_epochs(self) -> None:
        model = self.on_random(steps=50, batch_size=2, local=False)
        calls = []
        model.fit_gaussians, fit = (lambda batches, **_: calls.append(1) or fit(batches)), model.fit_gaussians
        train(model, striped(4, 32, 32, 1), to_float, seed=0, accelerator="cpu", precision="32-true")
        assert len(calls) == 1 + 2 + 1  # at the start; after 20 and 40 steps, ten and twenty epochs; at the end

    def test_the_features_are_frozen_while_the_detector_learns(self) -> None:
        model = self.on_random(steps=3, batch_size=4)
        pretrain, detector = model.stages(8)
        pretrain.end(lambda: iter([torch.rand(8, 1, 32, 32)]))
        before = state_bytes(model.features)
        model.train()
        for player in detector.players:
            torch.stack(list(player.loss(torch.rand(8, 1, 32, 32)).values())).sum().backward()
        assert state_bytes(model.features) == before
        assert all(p.grad is None for p in model.features.parameters())

    def test_the_critics_target_is_the_share_of_the_interpolation(self) -> None:
        branch, f = self.tiny().branches["image"].eval(), torch.randn(6, 16)
        mixed, share = branch.interpolate(f)
        assert ((share >= 0) & (share <= 0.5)).all()
        z = branch.encode(f)
        expected = branch.decode(share[:, None] * z + (1 - share[:, None]) * z.flip(0))
        torch.testing.assert_close(mixed, expected)

    def test_constant_images_have_equal_scores(self) -> None:
        images = np.full((10, 32, 32, 1), 128, np.uint8)
        scores = self.fit(images).score(images)
        assert np.ptp(scores) < 1e-6
