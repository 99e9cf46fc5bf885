"""A camera loop: frames come one by one from an iterator, and each is judged as it comes.

`detector.predict` takes any iterator, however long, and holds a few frames at most.
"""

from collections.abc import Iterator

import numpy as np

from daad import Detector
from images import cloth, spotted


def camera(frames: int, seed: int) -> Iterator[np.ndarray]:
    """Frames (H, W, 1) as a driver gives them: always the same buffer, filled anew. Every tenth shows a spot."""
    buffer = np.empty((64, 64, 1), np.uint8)
    for number in range(frames):
        frame = cloth(1, seed=seed + 1000 + number)
        buffer[:] = spotted(frame, seed=number)[0][0] if number % 10 == 9 else frame[0]
        yield buffer


def main(seed: int = 0) -> None:
    detector = Detector.fit(cloth(200, seed=seed), model="padim", features="filters", false_alarm_rate=0.025, seed=seed)
    stopped, planted = set(), set(range(9, 60, 10))
    # batch_size=1 answers at once; larger batches are faster and wait for their last frame. maps=False leaves out
    # the pictures; regions are found all the same.
    for number, prediction in enumerate(detector.predict(camera(60, seed), batch_size=1, maps=False)):
        if prediction.is_anomalous:
            boxes = [region.box for region in prediction.regions]
            print(f"frame {number}: stop, p-value {prediction.p_value:.3f}, regions {boxes}")
            stopped.add(number)
    print(f"stopped at {len(planted & stopped)} of {len(planted)} spots, {len(stopped - planted)} false alarms")


if __name__ == "__main__":
    main()
