"""Your first detector: learn from a folder of good images, judge new ones, save the detector, load it again."""

import tempfile
from pathlib import Path

from daad import Detector, load
from images import cloth, save, spotted, touch


def main(seed: int = 0) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save(cloth(40, seed=seed), folder / "good")
        bad, spots = spotted(cloth(3, seed=seed + 1000), seed=seed)
        save(cloth(3, seed=seed + 2000), folder / "new", "good")
        save(bad, folder / "new", "spot")

        # Detector.fit(folder) is all that a user writes. A small network and few steps make this example quick.
        detector = Detector.fit(folder / "good", size="nano", steps=40, holdout=0.4, seed=seed)
        predictions = list(detector.predict(folder / "new"))
        for prediction in predictions:
            verdict = "anomalous" if prediction.is_anomalous else "good"
            print(f"{prediction.name}: {verdict}, score {prediction.score:.2f}, p-value {prediction.p_value:.2f}")

        strongest = [prediction.regions[0].box for prediction in predictions[3:] if prediction.regions]
        found = sum(touch(box, spot) for box, spot in zip(strongest, spots, strict=False))
        print(f"{found} of {len(spots)} spots lie under the strongest region of their image")

        detector.save(folder / "detector")
        again = load(folder / "detector")
        print(f"saved and loaded, the same scores: {again.score(bad).tolist() == detector.score(bad).tolist()}")


if __name__ == "__main__":
    main()
