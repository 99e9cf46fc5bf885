"""Search a scene: one strange spot in an image much larger than what a model sees. A ranking, not a verdict."""

import daad
from images import cloth, spotted, touch


def main(seed: int = 0) -> None:
    quiet = cloth(6, 256, 256, seed=seed)
    scenes, [spot] = spotted(cloth(1, 608, 896, seed=seed + 1000), side=10, change=60, seed=seed)

    # daad.Detector.fit(quiet, tile=32) is what a user writes. The other settings make this example quick.
    detector = daad.Detector.fit(quiet, tile=32, image_size=32, model="padim", features="filters", seed=seed)

    # A path to a BigTIFF or JPEG 2000 is read window by window: daad.search("scene.tif", detector, run="found").
    found = daad.search(scenes[0], detector, top=5)
    for candidate in found.candidates:
        print(
            f"{candidate.rank}. tile at x={candidate.left}, y={candidate.top}: score {candidate.score:.1f}, "
            f"{candidate.deviations:.1f} deviations from the scene's median tile"
        )
    first = found.candidates[0]
    hit = touch((first.left, first.top, first.right, first.bottom), spot)
    print(f"the planted spot lies at {spot}; the first of {found.scenes[0].tiles} tiles shows it: {hit}")


if __name__ == "__main__":
    main()
