"""Discriminator = feature extractor + classifier.

Source: the split is from the DAAD paper's figure. The layers are those of Skip-GANomaly (Akcay et al., 2019), for the
paper does not state them.
"""

from __future__ import annotations

from torch import Tensor, nn

SMALLEST_MAP = 4


class Discriminator(nn.Module):
    """Images (B, C, H, W) -> real/fake logits (B,): strided convolutions down to about 4 x 4, then a classifier.

    Args:
        channels: C of the images.
        height: H of the images.
        width_px: W of the images.
        width: channels after the first layer; they double at every layer.
        max_width: largest number of channels, so that at large sizes the network is not larger than the generator.
        features: length of f_D at every position.
    """

    def __init__(self, channels: int, height: int, width_px: int, *, width: int, max_width: int, features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        side, current = min(height, width_px) // 2, width
        while side > SMALLEST_MAP:
            following = min(2 * current, max_width)
            layers += [
                nn.Conv2d(current, following, 4, 2, 1, bias=False),
                nn.BatchNorm2d(following),
                nn.LeakyReLU(0.2),
            ]
            side, current = side // 2, following
        layers.append(nn.Conv2d(current, features, side, bias=False))
        self.extractor = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(features, 1, 3, padding=1, bias=False)

    def features(self, images: Tensor) -> Tensor:
        """f_D: the extractor's output just before the classifier, (B, features, h, w)."""
        features: Tensor = self.extractor(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """One real/fake logit an image, (B,)."""
        logits: Tensor = self.classifier(features)
        return logits.mean(dim=(1, 2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images))
