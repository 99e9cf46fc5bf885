"""Boxes: labelled boxes are there, so learn to find the things by name. Fit, predict, evaluate.

`evaluate` needs `pip install "daad[boxes]"`.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from daad import BoxDetector
from images import Box, cloth, save

LABELS = ("hole", "slub")  # dark and square; bright and wide


def flawed(count: int, seed: int) -> tuple[np.ndarray, list[tuple[str, Box]]]:
    """Pieces of cloth with one flaw each, and its name and box (left, top, right, bottom)."""
    random, images, flaws = np.random.default_rng(seed), cloth(count, seed=seed).astype(int), []
    for number, image in enumerate(images):
        height, width = ((16, 16), (10, 26))[number % 2]
        top, left = random.integers(2, 62 - height), random.integers(2, 62 - width)
        image[top : top + height, left : left + width] += (-80, 80)[number % 2]
        flaws.append((LABELS[number % 2], (int(left), int(top), int(left + width), int(top + height))))
    return images.clip(0, 255).astype(np.uint8), flaws


def write_coco(folder: Path, split: str, count: int, seed: int) -> None:
    """Images and a COCO file of their boxes, as labelling tools write them."""
    images, flaws = flawed(count, seed)
    paths = save(images, folder / "images", split)
    listed = [{"id": i, "file_name": path.name, "height": 64, "width": 64} for i, path in enumerate(paths)]
    annotations = [
        {"id": i, "image_id": i, "category_id": LABELS.index(label), "bbox": [left, top, right - left, bottom - top]}
        for i, (label, (left, top, right, bottom)) in enumerate(flaws)
    ]
    categories = [{"id": i, "name": label} for i, label in enumerate(LABELS)]
    coco = {"images": listed, "annotations": annotations, "categories": categories}
    (folder / f"{split}.json").write_text(json.dumps(coco))


def main(seed: int = 0) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_coco(folder, "train", 50, seed)
        write_coco(folder, "test", 20, seed + 1000)

        # BoxDetector.fit(folder) is all that a user writes. A small network and few steps make this example quick.
        quick = {"size": "nano", "image_size": 64, "batch_size": 8, "steps": 120, "learning_rate": 3e-3}
        detector = BoxDetector.fit(folder, **quick, seed=seed)

        new, flaws = flawed(4, seed + 2000)
        for (label, box), prediction in zip(flaws, detector.predict(new), strict=True):
            found = [f"{d.label} at {tuple(map(round, d.box))} ({d.score:.2f})" for d in prediction.detections]
            print(f"{label} at {box}; found: {', '.join(found) or 'nothing'}")

        # Measured on the test part: COCO's average precision at IoU .5, and what no image is needed for beside it.
        evaluation = detector.evaluate(folder)
        print(f"mAP50 {evaluation.quality.ap50:.2f} on {evaluation.images} test images")
        print(f"mAP50 {evaluation.baseline.ap50:.2f} for the mean box of each class on every image")


if __name__ == "__main__":
    main()
