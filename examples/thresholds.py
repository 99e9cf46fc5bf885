"""Thresholds: ask for a false-alarm rate, read the p-values, and decide anew without training.

The threshold comes from good images that were held out from training, never from defective ones.
"""

from daad import Detector
from images import cloth, spotted


def main(seed: int = 0) -> None:
    # Half of 200 images are held out: with n of them the smallest rate that can be promised is 1 / (n + 1).
    detector = Detector.fit(cloth(200, seed=seed), model="padim", features="filters", holdout=0.5, seed=seed)
    new_good = cloth(200, seed=seed + 1000)
    faint, _ = spotted(cloth(50, seed=seed + 2000), change=12, seed=seed)
    good_scores, faint_scores = detector.score(new_good), detector.score(faint)

    for rate in (0.2, 0.05, 0.01, 0.001):
        stricter = detector.with_false_alarm_rate(rate)  # the same network and the same scores
        calibration = stricter.calibration
        flagged, found = (calibration.is_anomalous(scores).mean() for scores in (good_scores, faint_scores))
        print(f"rate {rate:.1%}: flagged {flagged:.1%} of the good and {found:.0%} of the faint spots")
        if calibration.note is not None:
            print(f"  note: {calibration.note}")

    # A p-value says the same for every rate at once: flag what is at most the rate.
    p_values = detector.calibration.p_value(good_scores)
    print(f"good images with a p-value of at most 0.2: {(p_values <= 0.2).mean():.1%}")
    print(f"the smallest possible p-value is 1 / {1 / detector.calibration.p_value(1e9):.0f}")


if __name__ == "__main__":
    main()
