"""The lunar tile VAE keeps the contract; loss and score are those of the released code."""

from __future__ import annotations

import pytest
import torch

from daad import ConfigError
from daad.models.lunar import Lunar
from tests.contracts.model import ModelContract
from tests.images import striped


class TestLunar(ModelContract):
    name = "lunar"

    @pytest.mark.parametrize(("norm", "code"), [("l1", True), ("l2", True), ("l2", False)])
    def test_the_score_is_the_error_and_the_squared_length_of_the_code(self, norm: str, code: bool) -> None:
        model, images = self.tiny(lam=4.0, score_recon=norm, score_code=code).eval(), torch.rand(3, 1, 32, 32)
        mean, _ = model.encoder(images)
        residual = images - model.decoder(mean)
        recon = residual.abs().sum(dim=(1, 2, 3)) if norm == "l1" else residual.square().sum(dim=(1, 2, 3))
        expected = recon + 4 * mean.square().sum(dim=1) if code else recon
        torch.testing.assert_close(model(images).score, expected)

    @pytest.mark.parametrize("norm", ["l1", "l2"])
    def test_the_loss_sums_over_pixels_and_code(self, norm: str) -> None:
        model, images = self.tiny(lam=4.0, loss=norm).eval(), torch.rand(3, 1, 32, 32)
        torch.manual_seed(1)
        terms = model.loss(images)
        torch.manual_seed(1)
        mean, log_variance = model.encoder(images)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        residual = images - model.decoder(z)
        expected = residual.abs().sum() if norm == "l1" else residual.square().sum()
        torch.testing.assert_close(terms["rec"], expected / 3)
        normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        divergence = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum() / 3
        torch.testing.assert_close(terms["kl"], 4 * divergence)

    @pytest.mark.parametrize("side", [32, 64])
    def test_reconstructions_have_the_size_of_the_tiles(self, side: int) -> None:
        model = self.tiny(height=side, width=side).eval()
        assert model(torch.rand(2, 1, side, side)).reconstruction.shape == (2, 1, side, side)

    def test_the_papers_network_has_its_shapes(self) -> None:
        model = self.tiny(size="paper", height=64, width=64)
        assert isinstance(model, Lunar)
        assert model.encoder.convs(torch.rand(2, 1, 64, 64)).shape == (2, 128 * 16 * 16)
        assert model.encoder(torch.rand(2, 1, 64, 64)).mean.shape == (2, 256)

    def test_a_single_image_and_illegal_sizes_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="one training image"):
            self.fit(striped(2, 32, 32, 1))
        with pytest.raises(ConfigError, match="height 18 must be a multiple of 4"):
            self.tiny(height=18, width=32)
