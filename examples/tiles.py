"""Tiles: small defects in large images. Shrunk to what a model sees, a small spot is gone; tiles keep it."""

from daad import Detector
from images import cloth, spotted, touch


def main(seed: int = 0) -> None:
    good, new_good = cloth(12, 192, 288, seed=seed), cloth(6, 192, 288, seed=seed + 1000)
    bad, spots = spotted(cloth(6, 192, 288, seed=seed + 2000), side=3, change=60, seed=seed)

    # Detector.fit(good, tile=64) is what a user writes. The other settings make this example quick.
    quick = {"model": "padim", "features": "filters", "image_size": 32, "holdout": 0.5, "seed": seed}
    shrunk = Detector.fit(good, **quick)
    tiled = Detector.fit(good, tile=32, **quick)  # learns tiles of 32 x 32 pixels, at full resolution

    for name, detector in (("shrunk to 32 pixels", shrunk), ("tiles of 32 pixels", tiled)):
        found = sum(
            any(touch(region.box, spot) for region in prediction.regions)
            for prediction, spot in zip(detector.predict(bad), spots, strict=True)
        )
        alarms = sum(bool(prediction.is_anomalous) for prediction in detector.predict(new_good))
        print(f"{name}: {found} of {len(spots)} spots found, {alarms} of {len(new_good)} good images flagged")


if __name__ == "__main__":
    main()
