"""Audit, then fit: rank a pool of "good" images that holds some bad ones, drop the suspects, learn from the rest."""

import tempfile
from pathlib import Path

import numpy as np

import daad
from images import cloth, save, spotted


def main(seed: int = 0) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pool = cloth(60, seed=seed)
        odd = np.random.default_rng(seed).choice(60, 4, replace=False)
        pool[odd], _ = spotted(pool[odd], change=60, seed=seed)
        names = [path.name for path in save(pool, folder / "pool")]
        planted = {names[i] for i in odd}

        # The default model daad is the better choice for real images, see docs/pools.md; this one takes a second.
        # contamination is your guess at the share of bad images. It moves no score, only the line under the suspects.
        audit = daad.audit(folder / "pool", model="padim", features="filters", contamination=0.1, seed=seed)
        for row in audit.rows[:6]:
            print(f"{row.rank}. {row.name} {row.distance} {'planted' if row.name in planted else ''}")
        suspects = {row.name for row in audit.rows if row.suspect}
        print(f"{len(planted & suspects)} of {len(planted)} planted images are among {len(suspects)} suspects")

        kept = audit.write_kept(folder / "kept.csv")  # look at the suspects first; then this list is what fit takes
        for name, data in (("the whole pool", folder / "pool"), (f"the {kept} kept", folder / "kept.csv")):
            detector = daad.Detector.fit(data, model="padim", features="filters", seed=seed)
            flagged = sum(detector.calibration.is_anomalous(detector.score(pool[odd])))
            print(f"learnt from {name}: {flagged} of {len(odd)} planted images are flagged")


if __name__ == "__main__":
    main()
