"""The network and its training, part by part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from daad import ConfigError
from daad.boxes.batches import BoxBatch, BoxBatches
from daad.boxes.geometry import encode
from daad.boxes.scod import SCOD, SCODConfig, layout
from daad.boxes.ssd import SSD, grids_of
from daad.training.loop import train_on
from tests.boxes.conftest import SIDE, made

SIZES = np.array([[12.0, 12.0], [28.0, 9.0], [24.0, 24.0], [60.0, 50.0]])


def tiny(channels: int = 1, side: int = SIDE, **settings: Any) -> SCOD:
    torch.manual_seed(0)
    shape = {"height": side, "width": side, "channels": channels, "classes": ("hole", "bar")}
    chosen = {"size": "nano", "steps": 2, "batch_size": 4, **settings}
    return SCOD(SCODConfig.make(**shape, **layout(chosen["size"], side, side, SIZES), **chosen))


def batches(count: int = 8) -> BoxBatches:
    images, objects = zip(*(made(seed, seed % 3) for seed in range(count)), strict=True)
    large = ([10, 20, 80, 60], "hole")  # so that every layer is responsible for a box
    objects = tuple([*of_image, large] for of_image in objects)
    boxes = [
        np.array([[x, y, x + w, y + h] for (x, y, w, h), _ in of_image], float).reshape(-1, 4) for of_image in objects
    ]
    labels = [np.array([int(kind == "bar") for _, kind in of_image], np.int64) for of_image in objects]
    return BoxBatches(np.stack(images), boxes, labels, torch.device("cpu"))


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("shape", [(96, 96), (64, 160), (97, 75)])
def test_any_channel_count_and_shape_gives_scores_and_boxes(channels: int, shape: tuple[int, int]) -> None:
    height, width = shape
    config = {"height": height, "width": width, "channels": channels, "classes": ("a", "b"), "size": "nano", "steps": 1}
    model = SCOD(SCODConfig.make(**config, **layout("nano", height, width, SIZES))).eval()
    dense = model(torch.rand(2, channels, height, width))
    anchors = 4 * sum(rows * columns for rows, columns in grids_of("nano", height, width))
    assert dense.scores.shape == (2, anchors, 2) and dense.boxes.shape == (2, anchors, 4)
    assert (dense.scores >= 0).all() and (dense.scores.sum(dim=-1) <= 1 + 1e-5).all()


def test_an_anchor_sees_the_image_around_it() -> None:
    """A change in a corner of the image changes the scores of anchors there, not those far away."""
    model = tiny(side=256, segmentation="none").eval()
    image = torch.full((1, 1, 256, 256), 0.5)
    other = image.clone()
    other[..., :8, :8] = 1
    with torch.no_grad():
        change = (model(image).scores - model(other).scores).abs().sum(dim=(0, 2))
    centres = (model.anchors[:, :2] + model.anchors[:, 2:]) / 2
    first = torch.arange(len(change)) < 4 * 32 * 32  # stride 8
    near, far = (centres < 20).all(dim=1) & first, (centres > 120).all(dim=1) & first
    assert change[near].sum() > 0 and change[far].sum() == 0


def test_the_model_decodes_encoded_boxes() -> None:
    model = tiny().eval()
    truth = model.anchors + torch.tensor([1.0, -2.0, 3.0, 1.0])
    offsets = encode(truth, model.anchors)
    model.network.forward = lambda images: type(
        "Output", (), {"logits": torch.zeros(1, len(truth), 3), "offsets": offsets[None]}
    )()  # type: ignore[method-assign]
    torch.testing.assert_close(model(torch.zeros(1, 1, SIDE, SIDE)).boxes[0], truth, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("segmentation", ["none", "shared", "by_scale"])
@pytest.mark.parametrize("overlap_loss", ["none", "hiou", "pow", "riou", "iou"])
def test_every_parameter_learns(segmentation: str, overlap_loss: str) -> None:
    model = tiny(segmentation=segmentation, overlap_loss=overlap_loss)
    before = {name: value.clone() for name, value in model.named_parameters()}
    (stage,) = model.stages(8)
    assert {id(p) for player in stage.players for p in player.parameters} == {id(p) for p in model.parameters()}
    summary = train_on(model, lambda device: batches(), seed=0, accelerator="cpu", precision="32-true")
    assert [name for name, value in model.named_parameters() if torch.equal(value, before[name])] == []
    terms = {"class", "offset"} | ({"overlap"} if overlap_loss != "none" else set())
    terms |= {"segmentation"} if segmentation != "none" else set()
    assert set(summary.last_terms) == {f"detector/{term}" for term in terms}


def test_shared_and_by_scale_segmentation_differ_only_in_their_targets() -> None:
    shared, by_scale = tiny(segmentation="shared"), tiny(segmentation="by_scale")
    assert [value.shape for value in shared.parameters()] == [value.shape for value in by_scale.parameters()]
    assert shared.scale_ranges == [None] * 3 and None not in by_scale.scale_ranges
    batch: BoxBatch = batches().take(np.arange(8))
    for model in (shared, by_scale):
        model.config = model.config.model_copy(update={"augment": False})
    torch.manual_seed(0)
    terms = [model.loss(batch) for model in (shared, by_scale)]
    assert terms[0]["class"] == terms[1]["class"] and terms[0]["segmentation"] != terms[1]["segmentation"]


def test_a_gate_begins_near_a_constant_factor() -> None:
    gate = tiny(segmentation="by_scale").network.gates[0].eval()
    features = torch.rand(1, 32, 12, 12)
    ratio = gate(features)[0] / features
    assert (ratio > 1).all() and (ratio < 2).all() and ratio.std() < 0.1


def test_the_published_networks_have_the_published_grids() -> None:
    for side, grids in ((300, [38, 19, 10, 5, 3, 1]), (512, [64, 32, 16, 8, 4, 2, 1])):
        assert grids_of("paper", side, side) == [(cells, cells) for cells in grids]
        with torch.device("meta"):
            network = SSD("paper", 3, side, 20, [4] * len(grids), segmented=True).eval()
            output = network(torch.empty(1, 3, side, side))
        assert output.logits.shape == (1, 4 * sum(cells**2 for cells in grids), 21)
        assert [logits.shape[2] for logits in output.segmentation] == grids


def test_size_paper_is_of_two_sides_alone() -> None:
    with pytest.raises(ConfigError, match="300x300 or 512x512, found 320x320"):
        SCODConfig.make(
            height=320, width=320, channels=1, classes=("a",), size="paper", steps=1, **layout("small", 320, 320, SIZES)
        )


def test_a_config_whose_layers_do_not_fit_is_refused() -> None:
    of_data = layout("nano", SIDE, SIDE, SIZES)
    shape = {"height": SIDE, "width": SIDE, "channels": 1, "classes": ("a",), "size": "nano", "steps": 1}
    with pytest.raises(ConfigError, match="those of 3 layers"):
        SCODConfig.make(**shape, ranges=of_data["ranges"][:2], anchors=of_data["anchors"])


@pytest.mark.parametrize("name", list(SCOD.presets))
def test_presets_are_valid(name: str) -> None:
    chosen = SCOD.presets[name]
    side, size = chosen.image_size, chosen.settings.get("size", "small")
    shape = {"height": side, "width": side, "channels": 3, "classes": ("a",)}
    SCODConfig.make(**shape, **layout(size, side, side, SIZES), **chosen.settings)
