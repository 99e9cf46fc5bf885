"""DAAD and DAAD+ keep the contract, and are what the paper's figure and equations say."""

from __future__ import annotations

import pytest
import torch

from daad import ConfigError, Detector
from daad.models.daad.model import DAAD, DAADPlus, legal_patches
from daad.nn.losses import squared_error_per_image
from tests.contracts.model import ModelContract
from tests.images import striped

SHAPE = {"height": 64, "width": 64, "channels": 1, "steps": 2}


class TestDAAD(ModelContract):
    name = "daad"

    def test_with_empty_memories_the_output_does_not_depend_on_the_input(self) -> None:
        """A memory lies on every path, and nothing crosses at full size."""
        model = self.tiny().eval()
        with torch.no_grad():
            for memory in model.generator.bridges:
                memory.items.zero_()
            first, second = (model(torch.rand(1, 1, 32, 32)).reconstruction for _ in range(2))
        torch.testing.assert_close(first, second, rtol=0, atol=0)

    def test_there_are_four_memories_from_one_half_to_the_bottleneck(self) -> None:
        model = DAAD(DAAD.Config.make(**SHAPE, size="small"))
        assert [memory.shape for memory in model.generator.bridges] == [
            (16, 32, 32),
            (32, 16, 16),
            (64, 8, 8),
            (128, 4, 4),
        ]

    @pytest.mark.parametrize("scales", [1, 2, 3])
    def test_memories_can_be_limited_to_the_coarser_scales(self, scales: int) -> None:
        model = self.tiny(memory_scales=scales)
        assert model.generator.crossed == [False] * (4 - scales) + [True] * scales
        assert model(torch.rand(1, 1, 32, 32)).reconstruction.shape == (1, 1, 32, 32)

    def test_the_paper_preset_has_the_parameter_count_of_the_specification(self) -> None:
        config = DAAD.Config.make(height=256, width=256, channels=3, size="paper", epochs=1)
        with torch.device("meta"):
            model = DAAD(config)
        assert config.rates == ((16, 16, 1),) * 4
        assert sum(memory.items.numel() for memory in model.generator.bridges) == 500 * (4096 + 2048 + 1024 + 512)

    def test_the_paper_preset_leaves_the_options_off(self) -> None:
        settings = dict(DAAD.presets["paper"].settings)
        config = DAAD.Config.make(height=256, width=256, channels=3, **settings)
        assert (config.temperature, config.shrinkage, config.reduction) == (None, None, "mean")

    def test_memories_receive_gradients_and_no_weight_decay(self) -> None:
        model = self.tiny().train()
        (stage,) = model.stages(8)
        optimiser = stage.players[0].optimiser(stage.players[0].parameters)
        assert all(group["weight_decay"] == 0 for group in optimiser.param_groups)
        sum(stage.players[0].loss(torch.rand(4, 1, 32, 32)).values()).backward()
        assert all(memory.items.grad.abs().sum() > 0 for memory in model.generator.bridges)

    def test_finer_division_has_a_smaller_reconstruction_error(self) -> None:
        """The paper's central claim, on images that a coarse memory of four items cannot reconstruct."""
        errors = []
        for rate in (1, 2, 8):
            detector = self.fit(
                self.textures(),
                image_size=64,
                division_rate=rate,
                memory_items=4,
                steps=150,
                reduction="mean",
                temperature=0.1,
            )
            errors.append(float(detector.score(self.textures()).mean()))
        assert errors[0] > errors[1] > errors[2]

    @staticmethod
    def textures() -> object:
        noise = torch.nn.functional.interpolate(torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)), 64)
        return (noise * 255).byte().permute(0, 2, 3, 1).numpy()


class TestDAADPlus(ModelContract):
    name = "daad+"

    def test_gamma_one_scores_the_same_as_the_reconstruction_error_alone(self) -> None:
        model = self.tiny(gamma=1.0).eval()
        images = torch.rand(3, 1, 32, 32)
        output = model(images)
        torch.testing.assert_close(output.score, squared_error_per_image(images, output.reconstruction))

    def test_the_score_is_the_papers_mixture(self) -> None:
        model = self.tiny(gamma=0.3).eval()
        images = torch.rand(3, 1, 32, 32)
        output = model(images)
        features = [model.discriminator.features(x) for x in (images, output.reconstruction)]
        expected = 0.3 * squared_error_per_image(images, output.reconstruction)
        torch.testing.assert_close(output.score, expected + 0.7 * squared_error_per_image(*features))

    def test_balanced_terms_have_unit_deviation_over_the_training_images(self) -> None:
        model = self.tiny(gamma=0.5, balance=True)
        batches = [torch.rand(4, 1, 32, 32) for _ in range(3)]
        model.finalise(lambda: iter(batches))
        with torch.no_grad():
            terms = torch.cat([model.terms(b, super(DAADPlus, model).forward(b)) for b in batches], dim=1)
            torch.testing.assert_close(model.spread, terms.std(dim=1, correction=0))
            expected = 0.5 * (terms / model.spread[:, None]).sum(dim=0)
            torch.testing.assert_close(torch.cat([model(b).score for b in batches]), expected)

    def test_the_losses_are_the_papers_terms(self) -> None:
        (stage,) = self.tiny().stages(8)
        generator, discriminator = stage.players
        batch = torch.rand(4, 1, 32, 32)
        assert list(generator.loss(batch)) == ["rec", "adv", "ali"]
        assert list(discriminator.loss(batch)) == ["real", "fake"]

    def test_the_discriminator_is_capped_at_large_sizes(self) -> None:
        config = DAADPlus.Config.make(height=256, width=256, channels=3, epochs=1, size="paper")
        with torch.device("meta"):
            discriminator = DAADPlus(config).discriminator
        widest = max(m.out_channels for m in discriminator.modules() if isinstance(m, torch.nn.Conv2d))
        assert widest == 512


@pytest.mark.parametrize(
    ("rate", "rates"),
    [
        (None, ((4, 4, 1),) * 4),
        (2, ((2, 2, 1),) * 4),
        (8, ((8, 8, 1), (8, 8, 1), (8, 8, 1), (4, 4, 1))),
        ((4, 2, 2), ((4, 2, 2),) * 4),
        (((8, 8, 1), (4, 4, 2), (2, 2, 1), (1, 1, 4)), ((8, 8, 1), (4, 4, 2), (2, 2, 1), (1, 1, 4))),
    ],
)
def test_granularity_can_be_given_as_one_number_a_triple_or_a_triple_a_scale(rate: object, rates: object) -> None:
    assert DAAD.Config.make(**SHAPE, division_rate=rate).rates == rates


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"division_rate": 3}, r"memory at 1/2: division rate r_h = 3 .*legal values of r_h: 1, 2, 4, 8, 16, 32"),
        ({"division_rate": (4, 4, 3)}, r"r_c = 3 .*legal values of r_c: 1, 2, 4, 8, 16"),
        ({"division_rate": (16, 16, 1)}, r"memory at 1/8: division rate r_h = 16 .*legal values of r_h: 1, 2, 4, 8"),
        ({"division_rate": 0}, r"r_h = 0"),
        ({"patch": 1}, r"patch"),
    ],
)
def test_blocks_that_do_not_divide_the_map_are_refused_with_the_legal_values(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        DAAD.Config.make(**SHAPE, **settings)


@pytest.mark.parametrize("length", [16, 48, 64, 80, 160, 240])
def test_a_side_is_divided_into_the_largest_legal_patches_up_to_the_setting(length: int) -> None:
    shape = {**SHAPE, "height": length, "width": length}
    for patch in range(2, length + 1):
        rate, _, _ = DAAD.Config.make(**shape, patch=patch).rates[0]
        assert length // patch <= rate or rate == length // 2
        if patch in legal_patches(length):
            assert rate == min(length // patch, length // 2)


@pytest.mark.parametrize(("patch", "expected"), [(16, (64, 80)), (32, (64, 64)), (64, (64, 64))])
def test_the_long_side_of_the_images_is_a_multiple_of_the_patch(patch: int, expected: tuple[int, int]) -> None:
    images = striped(6, 100, 122, 1)
    detector = Detector.fit(images, model="daad", image_size=64, patch=patch, size="nano", steps=1, batch_size=4)
    assert (detector.preprocess.height, detector.preprocess.width) == expected
