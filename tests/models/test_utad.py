"""UTAD keeps the contract; its four pictures, its measurement and its two stages follow the module's docstring."""

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
        """Trained until its impressions are not flat: instance norm turns the rounding of flat ones into texture."""
        return self.trained(steps=60).eval()

    def test_the_four_pictures_are_images(self) -> None:
        model, images = self.trained(), torch.rand(3, 1, 32, 32)
        output = model(images)
        assert list(output.pictures) == ["impression", "naive impression"]
        for picture in (output.reconstruction, *output.pictures.values()):
            assert picture.shape == images.shape
            assert float(picture.min()) >= 0 and float(picture.max()) <= 1

    def test_four_equal_pictures_have_an_error_map_of_zero(self) -> None:
        model, images = self.tiny(random_codes=0), torch.rand(2, 1, 32, 32)
        generated = Pictures(images, images, images, torch.zeros(2, 8))
        assert float(model.error_map(images, generated).abs().max()) < 1e-4

    @pytest.mark.parametrize("codes", [0, 1])
    def test_one_random_detail_has_no_variance_and_more_have(self, codes: int) -> None:
        images = torch.rand(2, 1, 32, 32)
        assert self.tiny(random_codes=codes).detail_variance(images) == 0
        assert float(self.tiny(random_codes=3).detail_variance(images).detach().max()) > 0

    def test_stage_two_does_not_change_ie_net(self) -> None:
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

    def test_the_decoder_does_not_use_the_code(self) -> None:
        model = self.tiny().train()
        model.impress(torch.rand(2, 1, 32, 32)).sum().backward()
        assert all(parameter.grad is None for parameter in model.inform.parameters())

    def test_the_information_loss_is_at_chance_for_random_codes_and_falls_for_informative_ones(self) -> None:
        torch.manual_seed(0)
        critic = self.tiny(lambda_local=1.0, lambda_global=1.0)
        maps = torch.randn(64, critic.impress.width, 2, 2)
        informative = maps.mean(dim=(2, 3))[:, :8]
        losses = {}
        for name in ("informative", "random"):
            model = self.tiny(lambda_local=1.0, lambda_global=1.0)
            optimiser = torch.optim.Adam(model.critics.parameters(), 3e-3)
            for _ in range(150):
                order = torch.randperm(64)
                codes = informative[order] if name == "informative" else torch.randn(64, 8)
                terms = model.information(maps[order], codes)
                optimiser.zero_grad()
                (terms["local"] + terms["global"]).backward()
                optimiser.step()
            losses[name] = float(terms["global"].detach())
        assert losses["informative"] < 0.8 * losses["random"]
        assert losses["random"] == pytest.approx(2 * np.log(2), rel=0.15)

    def test_the_divergence_is_that_of_torch(self) -> None:
        mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
        normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(dim=1)
        torch.testing.assert_close(gaussian_divergence(mean, log_variance), expected)

    def test_neighbours_are_training_images_other_than_the_image_itself(self) -> None:
        model = self.trained(score="neighbours")
        images = torch.from_numpy(to_float(striped(12, 32, 32, 1)))
        codes = model.inform(model.impress.encoder(images))[0]
        distances = torch.cdist(codes, codes)
        torch.testing.assert_close(model.bank[:12].sort(dim=0).values, codes.sort(dim=0).values)
        assert bool((model.bank[12:] == 1e3).all())
        others = distances.sort(dim=1).values[:, 1:3].mean(dim=1)
        assert float(model.usual[1]) == pytest.approx(float(others.mean().detach()), rel=1e-3)
        assert (others > 0).all() and torch.isfinite(others).all()

    def test_score_both_is_the_mean_of_the_standardised_scores(self) -> None:
        model, images = self.trained(score="both"), torch.rand(4, 1, 32, 32)
        score = model(images).score
        scores = []
        for name in ("map", "neighbours"):
            object.__setattr__(model, "config", model.config.model_copy(update={"score": name}))
            scores.append(model(images).score)
        expected = ((torch.stack(scores, dim=1) - model.usual) / model.usual_spread).mean(dim=1)
        torch.testing.assert_close(score, expected)

    def test_unpaired_domains_have_no_paired_term(self) -> None:
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
    def test_too_few_images_and_illegal_sizes_are_refused(
        self, settings: dict[str, Any], images: int, message: str
    ) -> None:
        with pytest.raises(ConfigError, match=message):
            self.fit(striped(images, 32, 32, 1), **settings)

    def test_constant_images_have_equal_scores(self) -> None:
        images = np.full((10, 32, 32, 1), 128, np.uint8)
        assert np.ptp(self.fit(images).score(images)) < 1e-6
