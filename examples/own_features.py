"""Own features: a torch module of yours gives the feature maps that PaDiM stands on, or one that daad knows by name.

A module's weights are saved with the detector, its code is not: give the module again when you load.
"""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from daad import ConfigError, Detector
from images import cloth, spotted


class Edges(nn.Module):
    """Float images (B, C, H, W) in [0, 1] -> two maps: brightness and edge strength, at strides 2 and 4."""

    def forward(self, images: Tensor) -> list[Tensor]:
        down = (images[..., 1:, :-1] - images[..., :-1, :-1]).abs()
        across = (images[..., :-1, 1:] - images[..., :-1, :-1]).abs()
        fine = torch.cat([images, nn.functional.pad(down + across, (0, 1, 0, 1))], dim=1)
        return [nn.functional.avg_pool2d(fine, 2), nn.functional.avg_pool2d(fine, 4)]


def main(seed: int = 0) -> None:
    good, new_good = cloth(60, seed=seed), cloth(20, seed=seed + 1000)
    bad, _ = spotted(cloth(20, seed=seed + 2000), seed=seed)

    for name, features in (("a module of ours", Edges()), ("random", "random"), ("filters", "filters")):
        detector = Detector.fit(good, model="padim", features=features, seed=seed)
        flagged = [sum(detector.calibration.is_anomalous(detector.score(images))) for images in (bad, new_good)]
        print(f"{name}: flagged {flagged[0]} of 20 with a spot, {flagged[1]} of 20 good ones")

    with tempfile.TemporaryDirectory() as place:
        detector = Detector.fit(good, model="padim", features=Edges(), seed=seed)
        saved = detector.save(Path(place) / "detector")
        try:
            Detector.load(saved)
        except ConfigError as error:
            print(f"without the module: {str(error).removeprefix(f'{saved}: ').split(':')[0]}")
        again = Detector.load(saved, features=Edges())
        same = again.score(bad).tolist() == detector.score(bad).tolist()
        print(f"loaded with features=Edges(), the same scores: {same}")


if __name__ == "__main__":
    main()
