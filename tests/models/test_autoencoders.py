"""AE, AE+Skip and MemAE keep the contract, and are what the papers say."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from scipy import ndimage

from daad import ConfigError
from daad.models import autoencoders
from daad.models.autoencoders import AE, MemAE
from daad.models.build import build
from tests.contracts.model import ModelContract


class TestAE(ModelContract):
    name = "ae"

    def test_only_the_bottleneck_reaches_the_decoder(self) -> None:
        model = self.tiny().eval()
        first, second = (model.generator.encode(torch.rand(1, 1, 32, 32)) for _ in range(2))
        image = model.generator.decode([None, None, None, first[3]])
        assert not torch.equal(image, model.generator.decode([None, None, None, second[3]]))
        assert model.generator.crossed == [False, False, False, True]

    def test_the_paper_preset_scores_by_the_mean_squared_error_over_the_image(self) -> None:
        model = self.tiny(3).eval()
        images = torch.rand(2, 3, 32, 32)
        output = model(images)
        torch.testing.assert_close(output.score, (images - output.reconstruction).square().mean(dim=(1, 2, 3)))

    def test_a_standardised_map_is_standardised_at_every_pixel_over_the_training_images(self) -> None:
        model = self.tiny(standardise=True, reduction="max").eval()
        images = torch.rand(9, 1, 32, 32)
        raw = self.tiny(standardise=False, reduction="max").eval()
        model.finalise(lambda: iter(images.split(4)))
        raw.finalise(lambda: iter(images.split(4)))
        with torch.no_grad():
            output, plain = model(images), raw(images)
        torch.testing.assert_close(output.anomaly_map.mean(dim=0), torch.zeros(32, 32), rtol=0, atol=1e-4)
        deviation = plain.anomaly_map.std(dim=0, correction=0)
        expected = (plain.anomaly_map - plain.anomaly_map.mean(dim=0)) / (deviation + 0.1 * deviation.mean())
        torch.testing.assert_close(output.anomaly_map, expected, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(output.score, output.anomaly_map.amax(dim=(1, 2)))

    def test_the_localised_score_is_the_maximum_of_the_smoothed_map(self) -> None:
        output = self.tiny(reduction="max", map_sigma=1.5, standardise=False).eval()(torch.rand(2, 1, 32, 32))
        torch.testing.assert_close(output.score, output.anomaly_map.amax(dim=(1, 2)))

    def test_details_are_the_high_pass_error_and_the_map_is_the_maximum_of_both(self) -> None:
        model = self.tiny(3, standardise=True, reduction="max", detail_sigma=3.0, map_sigma=0.0).eval()
        images, rebuilt = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
        plain, details = model.error_maps(images, rebuilt).unbind(dim=1)
        error = (images - rebuilt).numpy()
        slow = ndimage.gaussian_filter(error, (0, 0, 3.0, 3.0), mode="mirror", radius=(0, 0, 9, 9))
        torch.testing.assert_close(plain, (images - rebuilt).square().mean(dim=1))
        torch.testing.assert_close(details, torch.from_numpy(error - slow).square().mean(dim=1))
        model.finalise(lambda: iter(images.split(1)))
        with torch.no_grad():
            output = model(images)
            maps = (model.error_maps(images, output.reconstruction) - model.usual_error) / model.usual_spread
        torch.testing.assert_close(output.anomaly_map, maps.amax(dim=1))
        torch.testing.assert_close(output.score, maps.amax(dim=(1, 2, 3)))

    def test_a_change_of_lighting_is_in_the_error_and_not_in_its_details(self) -> None:
        model = self.tiny(standardise=True, reduction="max", detail_sigma=3.0).eval()
        rebuilt = torch.rand(1, 1, 32, 32)
        plain, details = model.error_maps(rebuilt + 0.1, rebuilt).unbind(dim=1)
        torch.testing.assert_close(plain, torch.full_like(plain, 0.01))
        torch.testing.assert_close(details, torch.zeros_like(details))

    def test_the_target_of_a_corrupted_image_is_the_clean_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = self.tiny(corruption=1.0, lambda_rec=1.0)
        images, corrupted = torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)
        monkeypatch.setattr(autoencoders, "corrupt", lambda batch, share: corrupted)
        expected = (images - model.generator(corrupted)).square().mean()
        torch.testing.assert_close(model.loss(images)["rec"], expected)


class TestAESkip(ModelContract):
    name = "ae-skip"
    settings: ClassVar[dict[str, Any]] = {"corruption": 0.9}  # puts a random loss under the contract too

    def test_raw_features_cross_at_every_scale_but_full_size(self) -> None:
        model = self.tiny()
        assert model.generator.crossed == [True] * 4
        assert all(isinstance(bridge, torch.nn.Identity) for bridge in model.generator.bridges)


class TestMemAE(ModelContract):
    name = "memae"

    def test_the_memory_has_a_block_for_every_pixel_of_the_bottleneck(self) -> None:
        model = self.tiny(height=32, width=48)
        memory = model.generator.bridges[-1]
        assert memory.division_rate == (2, 3, 1)
        assert memory.block_dim == model.config.level_widths[-1]

    def test_the_loss_is_the_error_and_the_weighted_entropy(self) -> None:
        model = self.tiny(lambda_rec=1.0, entropy_weight=0.5)
        terms = model.loss(torch.rand(2, 1, 32, 32))
        _, weights = model.generator.bridges[-1].read(model.generator.encode(torch.rand(2, 1, 32, 32))[-1])
        assert set(terms) == {"rec", "entropy"}
        assert 0 < terms["entropy"] <= 0.5 * torch.log(torch.tensor(float(weights.shape[1]))) + 1e-5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"height": 40}, r"height 40 must be a multiple of 16; nearest: 48"),
        ({"widths": (1, 2)}, r"widths needs 5"),
        ({"detail_sigma": 4.0}, r"detail_sigma needs standardise"),
        ({"steps": None}, r"either steps or epochs"),
        ({"epochs": 3}, r"either steps or epochs"),
        ({"stesp": 3}, r"unknown setting 'stesp' \(did you mean 'steps'\?\)"),
        ({"size": "huge"}, r"size: .*'huge'"),
        ({"learning_rate": -1}, r"learning_rate: .*found -1"),
    ],
)
def test_an_illegal_setting_is_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AE.Config.make(**{"height": 32, "width": 32, "channels": 1, "steps": 5, **settings})


def test_epochs_become_steps_of_the_training_images() -> None:
    config = AE.Config.make(height=32, width=32, channels=1, epochs=10, batch_size=8)
    assert config.training_steps(80) == 100
    assert config.training_steps(4) == 10


def test_an_unknown_model_is_refused_with_the_closest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown model 'memea' \(did you mean 'memae'\?\)"):
        build("memea", {})


def test_shrinkage_is_given_in_units_of_one_over_n() -> None:
    config = MemAE.Config.make(height=32, width=32, channels=1, steps=1, memory_items=50, shrinkage=2.0)
    assert MemAE(config).generator.bridges[-1].shrinkage == pytest.approx(2 / 50)
