"""scikit-learn: a detector as an outlier detector in a pipeline, with scikit-learn's signs: -1 is an outlier.

Needs `pip install "daad[sklearn]"`.
"""

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from daad.sklearn import AnomalyDetector
from images import cloth, spotted


def main(seed: int = 0) -> None:
    images = cloth(100, 32, 32, seed=seed)
    odd = np.random.default_rng(seed).choice(100, 5, replace=False)
    images[odd], _ = spotted(images[odd], seed=seed)
    rows = images.reshape(100, -1).astype(float)  # as transformers pass them on: (images, pixels)

    pipeline = make_pipeline(
        MinMaxScaler(clip=True),  # to [0, 1], which the detector takes, for new images too
        AnomalyDetector("padim", contamination=0.05, image_shape=(32, 32), settings={"features": "filters"}),
    )
    pipeline.set_params(anomalydetector__random_state=seed)
    found = np.flatnonzero(pipeline.fit_predict(rows) == -1)
    print(f"{len(set(found) & set(odd))} of {len(odd)} planted images are among the {len(found)} outliers")

    # novelty=True learns from clean images, sets the threshold on some held out, and judges new ones.
    clean = np.delete(rows, odd, axis=0)
    pipeline.set_params(anomalydetector__novelty=True).fit(clean)
    verdicts = pipeline.predict(rows[odd])
    print(f"one-class: {(verdicts == -1).sum()} of {len(odd)} new images with a spot are outliers")


if __name__ == "__main__":
    main()
