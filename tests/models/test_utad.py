"""UTAD keeps the contract; its four pictures, its measurement and its two stages are what the module says."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from daad import ConfigError
from daad.data.preprocess import to_float
from daad.models.utad.model import UTAD, Pictures
from daad.nn.losses import gaussian_divergence
from daad.training.loop import train
from tests.contracts.model import ModelContract, state_bytes
from tests.images import striped


class TestUTAD(ModelContract):
    name = "utad"
    settings: ClassVar[dict[str, Any]] = {"expert_steps": 3, "neighbours": 2, "bank_items": 16, "image_gan": True}

    def trained(self, **settings: Any) -> UTAD:
        model = self.tiny(**settings)
        train(model, striped(12, 32, 32, 1), to_float, seed=0, accelerator="cpu", precision="32-true")
        return model

    def judge(self) -> UTAD:
        """Trained until its impressions are not flat: of a flat one, instance norm makes texture from rounding."""
        return self.trained(steps=60).eval()

    def test_the_four_pictures_are_images(self) -> None:
        model, images = self.trained(), torch.rand(3, 1, 32, 32)
        output = model(images)
        assert list(output.pictures) == ["impression", "naive impression"]
        for picture in (output.reconstruction, *output.pictures.values()):
            assert picture.shape == images.shape
            assert float(picture.min()) >= 0 and float(picture.max()) <= 1

    def test_four_pictures_that_coincide_leave_nothing(self) -> None:
        model, images = self.tiny(random_codes=0), torch.rand(2, 1, 32, 32)
        found = Pictures(images, images, images, torch.zeros(2, 8))
        assert float(model.unlike(images, found).abs().max()) < 1e-4

    @pytest.mark.parametrize("codes", [0, 1])
    def test_one_drawn_detail_has_no_variety_and_more_have(self, codes: int) -> None:
        images = torch.rand(2, 1, 32, 32)
        assert self.tiny(random_codes=codes).variety(images) == 0
        assert float(self.tiny(random_codes=3).variety(images).detach().max()) > 0

    def test_stage_two_leaves_ie_net_as_it_was(self) -> None:
        model = self.tiny()
        first, second = model.stages(12)
        batches = lambda: iter([torch.rand(12, 1, 32, 32)])  # noqa: E731
        first.end(batches)
        before = {**state_bytes(model.impress), **state_bytes(model.inform)}
        model.train()
        for player in second.players:
            torch.stack(list(player.loss(torch.rand(4, 1, 32, 32)).values())).sum().backward()
        assert {**state_bytes(model.impress), **state_bytes(model.inform)} == before
        assert all(p.grad is None for p in model.impress.parameters())

    def test_the_decoder_sees_nothing_of_the_code(self) -> None:
        model = self.tiny().train()
        model.impress(torch.rand(2, 1, 32, 32)).sum().backward()
        assert all(parameter.grad is None for parameter in model.inform.parameters())

    def test_information_is_at_chance_for_codes_that_say_nothing_and_falls_for_codes_that_do(self) -> None:
        torch.manual_seed(0)
        critic = self.tiny(lambda_local=1.0, lambda_global=1.0)
        maps = torch.randn(64, critic.impress.width, 2, 2)
        telling = maps.mean(dim=(2, 3))[:, :8]
        losses = {}
        for name, codes in (("telling", telling), ("silent", torch.randn(64, 8))):
            model = self.tiny(lambda_local=1.0, lambda_global=1.0)
            optimiser = torch.optim.Adam(model.critics.parameters(), 3e-3)
            for _ in range(150):
                order = torch.randperm(64)
                said = codes[order] if name == "telling" else torch.randn(64, 8)
                terms = model.information(maps[order], said)
                optimiser.zero_grad()
                (terms["local"] + terms["global"]).backward()
                optimiser.step()
            losses[name] = float(terms["global"].detach())
        assert losses["telling"] < 0.8 * losses["silent"]
        assert losses["silent"] == pytest.approx(2 * np.log(2), rel=0.15)

    def test_the_divergence_is_that_of_torch(self) -> None:
        mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
        normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(dim=1)
        torch.testing.assert_close(gaussian_divergence(mean, log_variance), expected)

    def test_neighbours_are_training_images_without_the_image_itself(self) -> None:
        model = self.trained(score="neighbours")
        images = torch.from_numpy(to_float(striped(12, 32, 32, 1)))
        codes = model.inform(model.impress.encoder(images))[0]
        distances = torch.cdist(codes, codes)
        torch.testing.assert_close(model.bank[:12].sort(dim=0).values, codes.sort(dim=0).values)
        assert bool((model.bank[12:] == 1e3).all())
        others = distances.sort(dim=1).values[:, 1:3].mean(dim=1)
        assert float(model.usual[1]) == pytest.approx(float(others.mean().detach()), rel=1e-3)
        assert (others > 0).all() and torch.isfinite(others).all()

    def test_both_scores_are_joined_in_their_spreads_over_training_images(self) -> None:
        model, images = self.trained(score="both"), torch.rand(4, 1, 32, 32)
        score = model(images).score
        parts = []
        for name in ("map", "neighbours"):
            object.__setattr__(model, "config", model.config.model_copy(update={"score": name}))
            parts.append(model(images).score)
        expected = ((torch.stack(parts, dim=1) - model.usual) / model.usual_spread).mean(dim=1)
        torch.testing.assert_close(score, expected)

    def test_unpaired_domains_lack_the_paired_term(self) -> None:
        assert "paired" not in self.tiny(paired=False).train().expert_loss(torch.rand(2, 1, 32, 32))

    def test_pretrained_features_can_measure(self) -> None:
        model = self.trained(measure="lite0")
        output = model(torch.rand(2, 1, 32, 32))
        assert torch.isfinite(output.anomaly_map).all()

    @pytest.mark.parametrize(
        ("settings", "images", "message"),
        [
            ({"neighbours": 8}, 8, "neighbours 8 needs more than the 6 training images"),
            ({"image_size": (40, 32)}, 8, "height 40 must be a multiple of 16"),
        ],
    )
    def test_what_cannot_be_is_refused(self, settings: dict[str, Any], images: int, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            self.fit(striped(images, 32, 32, 1), **settings)

    def test_constant_images_are_scored_alike(self) -> None:
        images = np.full((10, 32, 32, 1), 128, np.uint8)
        assert np.ptp(self.fit(images).score(images)) < 1e-6
