"""IGD keeps the contract, and is what the paper and its code say."""

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

    def test_the_score_joins_the_image_and_its_worst_patch_by_the_codes_shares(self) -> None:
        model, images = self.trained(), torch.rand(3, 1, 32, 32)
        whole = model.branches["image"](images, model.pooled(images))
        worst = []
        for row in range(0, 25, 4):
            for column in range(0, 25, 4):
                patch = images[:, :, row : row + 8, column : column + 8]
                part = model.branches["patch"](patch, model.pooled(patch))
                worst.append(0.9 * part.recon + 0.1 * part.gauss)
        expected = 0.5 * (0.1 * whole.recon + 0.9 * whole.gauss) + 0.5 * torch.stack(worst).amax(dim=0)
        torch.testing.assert_close(model(images).score, expected)

    def test_a_stopped_training_goes_on_with_the_same_features_alone(self, tmp_path: Path) -> None:
        images, run = striped(10, 32, 32, 1), tmp_path / "run"
        first, second = Pyramid(), Pyramid()
        self.fit(images, features=first, run=run, checkpoint_every=2)
        resumed = self.fit(images, features=first, run=run, resume=True)
        assert resumed.provenance["training"]["resumed_at"] > 0
        with pytest.raises(ArtifactError, match="other settings, network, data or seed"):
            self.fit(images, features=second, run=run, resume=True)

    def test_without_the_local_branch_the_image_alone_counts(self) -> None:
        model, images = self.trained(local=False), torch.rand(3, 1, 32, 32)
        whole = model.branches["image"](images, model.pooled(images))
        torch.testing.assert_close(model(images).score, 0.1 * whole.recon + 0.9 * whole.gauss)

    def test_gauss_is_nothing_at_the_centre_and_one_far_from_it(self) -> None:
        branch = self.tiny().branches["image"]
        branch.centre_on(torch.randn(50, 8) * 5 + 3)
        far = branch.centre + 1e3
        assert branch.gauss(torch.stack([branch.centre, far])).tolist() == [0, 1]

    def test_centre_and_sigma_are_those_of_the_codes_and_sigma_is_at_least_one(self) -> None:
        branch, codes = self.tiny().branches["image"], torch.randn(50, 8) * 5 + 3
        branch.centre_on(codes)
        torch.testing.assert_close(branch.centre, codes.mean(dim=0))
        distances = np.linalg.norm(codes.numpy() - codes.numpy().mean(axis=0), axis=1)
        assert float(branch.sigma) == pytest.approx(distances.mean(), rel=1e-5)
        branch.centre_on(codes * 1e-3)
        assert float(branch.sigma) == 1

    def test_of_very_many_patches_some_give_the_centre(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counts: list[int] = []
        model = self.tiny()
        images = torch.rand(40, 1, 32, 32)
        monkeypatch.setattr(model.branches["patch"], "centre_on", lambda codes: counts.append(len(codes)))
        model.centre(lambda: iter(images.split(8)), kept_codes=0.5)
        assert 0.4 < counts[0] / (40 * len(model.grid)) < 0.6

    def test_both_players_of_a_step_learn_from_the_same_views_and_the_next_step_from_new_ones(self) -> None:
        model, drawn = self.tiny(), []
        model.views_of, draw = (lambda images: drawn.append(draw(images)) or drawn[-1]), model.views_of
        *_, detector = model.stages(8)
        for images in (torch.rand(4, 1, 32, 32), torch.rand(4, 1, 32, 32)):
            for player in detector.players:
                player.loss(images)
        assert len(drawn) == 2 and not torch.equal(drawn[0]["patch"], drawn[1]["patch"])

    def test_the_last_centre_is_that_of_all_training_images(self) -> None:
        model = self.trained()
        images = torch.from_numpy(to_float(striped(12, 32, 32, 1)))
        codes = model.branches["image"].encode(model.frozen_pooled(images))
        torch.testing.assert_close(model.branches["image"].centre, codes.mean(dim=0), rtol=1e-4, atol=1e-5)

    def test_the_centre_is_estimated_anew_as_training_goes_on(self) -> None:
        model = self.on_random(steps=50, batch_size=2, local=False)
        times = []
        model.centre, kept = (lambda batches, **_: times.append(1) or kept(batches)), model.centre
        train(model, striped(4, 32, 32, 1), to_float, seed=0, accelerator="cpu", precision="32-true")
        assert len(times) == 1 + 2 + 1  # at first; after 20 and 40 steps, which are ten epochs each; at the end

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

    def test_the_critic_is_asked_for_the_share_of_the_mix(self) -> None:
        branch, f = self.tiny().branches["image"].eval(), torch.randn(6, 16)
        mixed, share = branch.mixed(f)
        assert ((share >= 0) & (share <= 0.5)).all()
        z = branch.encode(f)
        expected = branch.decode(share[:, None] * z + (1 - share[:, None]) * z.flip(0))
        torch.testing.assert_close(mixed, expected)

    def test_constant_images_are_scored_alike(self) -> None:
        images = np.full((10, 32, 32, 1), 128, np.uint8)
        scores = self.fit(images).score(images)
        assert np.ptp(scores) < 1e-6
