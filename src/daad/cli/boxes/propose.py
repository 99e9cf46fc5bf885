"""`daad boxes propose`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

WEAK = 0.5  # share of an image's highest map value: the threshold of regions where none exceeds the detector's


def propose(
    detector: Path,
    data: str,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    label: str = "anomaly",
    min_area: int = 16,
    at_most: int = 10,
    all_images: Annotated[bool, Parameter(negative=())] = False,
    batch_size: int = 16,
    workers: int = 2,
) -> int:
    """Turn the regions that a detector of anomalies finds into boxes for a person to check.

    Parameters
    ----------
    detector
        A detector that `daad fit` made.
    data
        An image, a folder, or a CSV or Parquet manifest.
    output
        A COCO file, ending in .json, that labelling tools open; checked, `daad boxes fit FILE --images DATA` learns
        from it.
    label
        The class of every proposed box.
    min_area
        Regions of fewer pixels are left out.
    at_most
        Boxes an image, the highest peaks first.
    all_images
        Propose in images that are not flagged as well; where nothing lies above the detector's threshold, what lies
        above half of the highest value of the image's map.
    batch_size
        Images scored at once.
    workers
        Threads that decode images.
    """
    from daad.cli.outputs import check_output
    from daad.cli.progress import ProgressBar
    from daad.data.coco import CocoBox, CocoImage, write_coco
    from daad.data.scenes import probe_scene
    from daad.detector.detector import Detector
    from daad.errors import ConfigError, ImageError
    from daad.runtime.stream import samples_of
    from daad.scoring.regions import find_regions

    if output.suffix != ".json":
        raise ConfigError(f"{output}: proposals are COCO; choose a name that ends in .json")
    if min_area < 1 or at_most < 1:
        raise ConfigError(f"--min-area and --at-most must be at least 1, found {min_area} and {at_most}")
    anomaly_detector = Detector.load(detector)
    if output.is_file() and output.stat().st_size:
        raise ConfigError(f"{output}: already exists, and boxes that were checked may be in it; choose another output")
    check_output(output, detector, lambda path: True)
    samples = list(samples_of(data))
    images, failed = [], 0
    with ProgressBar() as progress:
        predictions = anomaly_detector.predict(samples, batch_size=batch_size, workers=workers, maps=all_images)
        for done, (sample, prediction) in enumerate(zip(samples, predictions, strict=True), start=1):
            progress("predict", done, len(samples))
            try:
                if prediction.error is not None:
                    raise ImageError(prediction.error)
                info = probe_scene(sample)
            except ImageError as error:
                failed += 1
                print(f"not judged: {error}", file=sys.stderr)
                continue
            regions = prediction.regions if prediction.is_anomalous or all_images else ()
            if not regions and prediction.anomaly_map is not None:
                regions = find_regions(prediction.anomaly_map, WEAK * float(prediction.anomaly_map.max()))
            large = [region for region in regions if region.area >= min_area][:at_most]
            boxes = [CocoBox(region.box, label, region.peak) for region in large]
            images.append(CocoImage(sample.name, (info.height, info.width), boxes))
    write_coco(output, images, [label])
    count = sum(len(image.boxes) for image in images)
    print(f"{output}: {count} boxes proposed on {len(images)} images; check them before anything learns from them")
    return 1 if failed else 0
