"""Lunar: a variational autoencoder of small tiles, scored by reconstruction error and distance of the code from 0.

Source: Lesnikowski, Bickel & Angerhausen, "Unsupervised Distribution Learning for Lunar Surface Anomaly Detection",
NeurIPS 2019 workshop, arXiv 2001.04634. Networks, loss and score are those of the code of its successor (IEEE JSTARS
2024, arXiv 2403.07424).

    x -> encoder -> mu, log sigma^2;  z ~ N(mu, sigma^2) -> decoder -> x_hat
    L = sum |x - x_hat| + lambda KL(N(mu, sigma^2) | N(0, 1))
    S(x) = sum (x - x_hat)^2 + lambda sum mu^2, with z = mu: the squared error, and the divergence's term of mu
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from daad.errors import ConfigError
from daad.models.autoencoders import adam
from daad.models.base import AnomalyModel, Output
from daad.nn.convs import ConvBNReLU, reestimate_batch_norms
from daad.nn.error_maps import GaussianBlur
from daad.nn.losses import gaussian_divergence, reparameterise
from daad.presets import Preset
from daad.stages import Batches, ModelConfig, Player, Size, Stage, TrainedConfig

WIDTHS: Mapping[Size, tuple[int, int, int, int]] = {
    "nano": (4, 4, 8, 8),
    "small": (8, 16, 32, 64),
    "paper": (16, 32, 64, 128),
}
LATENT: Mapping[Size, int] = {"nano": 8, "small": 64, "paper": 256}
MULTIPLE = 4


class LunarConfig(TrainedConfig):
    """Settings of the tile VAE. Loss and score are sums, so the balance of `lam` depends on the size of the tiles."""

    batch_size: int = Field(64, ge=2, le=65_536, description="tiles a training step")
    latent: int | None = Field(None, ge=1, le=4096, description="length of the code; None: from size")
    lam: float = Field(1.0, ge=0, description="lambda, the weight of the divergence in loss and score; the code: 4")
    loss: Literal["l1", "l2"] = Field("l2", description="error that training minimises; the code: l1")
    score_recon: Literal["l1", "l2"] = Field("l2", description="error in the score")
    score_code: bool = Field(True, description="add the code's squared distance from 0 to the score")
    map_sigma: float = Field(1.0, ge=0, le=64, description="Gaussian smoothing of the anomaly map, in model pixels")

    @property
    def code_length(self) -> int:
        """The length of mu."""
        return self.latent or LATENT[self.size]


class Posterior(NamedTuple):
    """mu and log sigma^2 of q(z | x), (B, latent)."""

    mean: Tensor
    log_variance: Tensor


class _Hidden(nn.Sequential):
    """Linear, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())


class Encoder(nn.Module):
    """Tiles (B, C, H, W) -> Posterior.

    Args:
        channels: C of the tiles.
        widths: channels of the four convolutions.
        latent: length of the code.
        grid: (H / 4, W / 4), size of the last map.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], latent: int, grid: tuple[int, int]) -> None:
        super().__init__()
        a, b, c, d = widths
        self.convs = nn.Sequential(
            ConvBNReLU(channels, a), ConvBNReLU(a, b, 2), ConvBNReLU(b, c), ConvBNReLU(c, d, 2), nn.Flatten()
        )
        self.hidden = _Hidden(d * grid[0] * grid[1], latent)
        self.mean, self.log_variance = nn.Linear(latent, latent), nn.Linear(latent, latent)

    def forward(self, tiles: Tensor) -> Posterior:
        hidden = self.hidden(self.convs(tiles))
        return Posterior(self.mean(hidden).float(), self.log_variance(hidden).float())


class _TransposedConv(nn.Sequential):
    """3 x 3 transposed convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        conv = nn.ConvTranspose2d(inputs, outputs, 3, stride, 1, output_padding=stride - 1, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Decoder(nn.Module):
    """z (B, latent) -> tiles (B, C, H, W), not limited to [0, 1]: the released code has no output activation.

    Args:
        channels: C of the tiles.
        widths: channels of the encoder's four convolutions.
        latent: length of the code.
        grid: (H / 4, W / 4), size of the first map.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], latent: int, grid: tuple[int, int]) -> None:
        super().__init__()
        a, b, c, d = widths
        self.hidden = nn.Sequential(_Hidden(latent, latent), _Hidden(latent, d * grid[0] * grid[1]))
        self.grow = nn.Sequential(
            nn.Unflatten(1, (d, *grid)),
            _TransposedConv(d, c, 2),
            _TransposedConv(c, b, 1),
            _TransposedConv(b, a, 2),
            nn.ConvTranspose2d(a, channels, 3, 1, 1),
        )

    def forward(self, z: Tensor) -> Tensor:
        tile: Tensor = self.grow(self.hidden(z))
        return tile


class Lunar(AnomalyModel):
    """See the module's docstring; score 0 or more. The map is the smoothed squared error at every pixel."""

    Config: ClassVar[type[ModelConfig]] = LunarConfig
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(64, {"size": "paper", "epochs": 16, "batch_size": 8192, "lam": 4.0, "loss": "l1"}),
        "small": Preset(32, {"size": "small", "steps": 400}),
    }
    config: LunarConfig

    def __init__(self, config: LunarConfig) -> None:
        super().__init__(config)
        for name, length in (("height", config.height), ("width", config.width)):
            if length % MULTIPLE:
                raise ConfigError(f"{name} {length} must be a multiple of {MULTIPLE}")
        grid = (config.height // MULTIPLE, config.width // MULTIPLE)
        self.encoder = Encoder(config.channels, WIDTHS[config.size], config.code_length, grid)
        self.decoder = Decoder(config.channels, WIDTHS[config.size], config.code_length, grid)
        self.blur = GaussianBlur(config.map_sigma, config.height, config.width)

    def forward(self, images: Tensor) -> Output:
        mean, _ = self.encoder(images)
        rebuilt = self.decoder(mean)
        score = error(images, rebuilt, self.config.score_recon)
        if self.config.score_code:
            score = score + self.config.lam * mean.square().sum(dim=1)
        squared_error = (images - rebuilt).square().mean(dim=1, keepdim=True)
        return Output(score, self.blur(squared_error)[:, 0], rebuilt)

    def stages(self, images: int) -> list[Stage]:
        config = self.config
        if images < 2:
            raise ConfigError("one training image leaves batch norm a single value; give more images")
        player = Player("vae", list(self.parameters()), partial(adam, config), self.loss)
        end = self.reestimate_statistics
        return [Stage("vae", [player], config.training_steps(images), config.batch_size, end=end)]

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """The two sums of L, averaged over the batch."""
        mean, log_variance = self.encoder(images)
        rebuilt = self.decoder(reparameterise(mean, log_variance)).float()
        return {
            "rec": error(images, rebuilt, self.config.loss).mean(),
            "kl": self.config.lam * gaussian_divergence(mean, log_variance).mean(),
        }

    def reestimate_statistics(self, batches: Batches) -> None:
        """Batch statistics over all training images, with z = mu."""
        reestimate_batch_norms(self, lambda images: self.decoder(self.encoder(images).mean), batches)


def error(images: Tensor, rebuilt: Tensor, norm: Literal["l1", "l2"]) -> Tensor:
    """The sum over all elements of |x - x_hat| or its square, (B,)."""
    residual = (images - rebuilt).flatten(1)
    return residual.abs().sum(dim=1) if norm == "l1" else residual.square().sum(dim=1)
