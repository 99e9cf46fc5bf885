"""IGD: a Gaussian about the centre of the codes of good images, and a decoder whose rebuilding is judged by MS-SSIM.

Source: Chen et al., "Deep One-Class Classification via Interpolated Gaussian Descriptor", AAAI 2022, and its released
code; on a backbone learnt by CCD (Tian et al., MICCAI 2021), one of that paper's two detectors.

    x -> frozen backbone -> f -> z -> decoder G -> x_hat;  critic D
    recon = .85 (1 - MS-SSIM(x, x_hat)) + .15 mean |x - x_hat|;  gauss = 1 - exp(-|z - c|^2 / sigma)
    x_mix = G(a z + (1 - a) z'), z' of another image
    L_G = recon + gauss + .1 D(x_mix)^2;  L_D = (D(x_mix) - a)^2 + D(x_hat + .2 (x - x_hat))^2
    A(x) = (.1 recon + .9 gauss of the image) / 2 + max over patches of (.9 recon + .1 gauss) / 2
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from daad.features.ccd import CCD, PAPER, SMALL, CCDConfig
from daad.models.base import Batches, ModelConfig, Output, Player, Preset, Size, Stage
from daad.nn.convs import Up, reestimate_batch_norms
from daad.nn.error_maps import GaussianBlur
from daad.nn.patches import PatchGrid, random_patches
from daad.nn.ssim import MultiScaleSSIM

LATENT: Mapping[Size, int] = {"nano": 8, "small": 32, "paper": 128}
DECODER: Mapping[Size, tuple[int, ...]] = {
    "nano": (16, 16, 8, 8, 8),
    "small": (128, 64, 32, 16, 16),
    "paper": (512, 256, 128, 64, 32),
}
CRITIC: Mapping[Size, int] = {"nano": 8, "small": 16, "paper": 64}
DOUBLINGS = 4
SSIM_SHARE = 0.85
CRITIC_WEIGHT = 0.1
CRITIC_MIX = 0.2
GAUSS_OF_IMAGE, GAUSS_OF_PATCH = 0.9, 0.1
SMALLEST_SIGMA = 1.0
REFRESH_EPOCHS = 10
MOST_CODES = 2**20  # of patches, held at once: 128 MiB at size small
PAPER_EPOCHS = 256


class IGDConfig(CCDConfig):
    """Settings of IGD on CCD's backbone."""

    latent: int | None = Field(None, ge=1, le=4096, description="length of z; None: from size")
    local: bool = Field(True, description="judge patches beside the whole image")
    train_patches: int = Field(4, ge=1, le=1024, description="patches of an image in a step")
    igd_steps: int | None = Field(None, ge=1, description="training steps of the detector; None: 256 epochs")
    igd_batch_size: int = Field(16, ge=2, le=4096, description="images a step of the detector")
    igd_learning_rate: float = Field(1e-4, gt=0, le=1, description="Adam's learning rate for decoder and critic")
    map_sigma: float = Field(1.0, ge=0, le=64, description="Gaussian smoothing of the anomaly map, in model pixels")

    @property
    def latent_width(self) -> int:
        """The length of z."""
        return self.latent or LATENT[self.size]

    def detector_steps(self, images: int) -> int:
        """Steps of the detector on `images` images."""
        batch = min(self.igd_batch_size, images)
        return self.igd_steps or max(1, PAPER_EPOCHS * images // batch)


class Judged(NamedTuple):
    """recon and gauss (B,), map of the residual (B, H, W), x_hat (B, C, H, W)."""

    recon: Tensor
    gauss: Tensor
    residual: Tensor
    rebuilt: Tensor


class Decoder(nn.Module):
    """z (B, latent) -> images (B, C, H, W) in [0, 1]: a small map doubled four times, cropped to any size."""

    def __init__(self, latent: int, channels: int, height: int, width: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.size = (height, width)
        first = (widths[0], -(-height >> DOUBLINGS) or 1, -(-width >> DOUBLINGS) or 1)
        self.first = nn.Sequential(nn.Linear(latent, first[0] * first[1] * first[2]), nn.Unflatten(1, first))
        self.ups = nn.Sequential(*(Up(i, o) for i, o in pairwise(widths)))
        self.head = nn.Sequential(nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Sigmoid())

    def forward(self, z: Tensor) -> Tensor:
        height, width = self.size
        image: Tensor = self.head(self.ups(self.first(z)))[..., :height, :width]
        return image


class Critic(nn.Module):
    """D: how much of another image is mixed into each (B, C, H, W), (B,). Without batch norm: rows stay apart."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for level in range(3):
            layers += [nn.Conv2d(channels if not level else width << (level - 1), width << level, 3, 2, 1)]
            layers += [nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width << 2, 1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.body(images)
        return found.float().mean(dim=(1, 2, 3))


class Branch(nn.Module):
    """One scale of IGD: f -> z -> x_hat, and the Gaussian of z with centre c and width sigma."""

    centre: Tensor
    sigma: Tensor

    def __init__(self, feature: int, config: IGDConfig, height: int, width: int) -> None:
        super().__init__()
        latent, size = config.latent_width, config.size
        self.encode = nn.Linear(feature, latent)
        self.decode = Decoder(latent, config.channels, height, width, DECODER[size])
        self.ssim = MultiScaleSSIM(height, width)
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("sigma", torch.tensor(SMALLEST_SIGMA))

    def forward(self, images: Tensor, f: Tensor) -> Judged:
        z = self.encode(f).float()
        rebuilt = self.decode(z).float()
        similar, residual = self.ssim(images, rebuilt)
        recon = SSIM_SHARE * (1 - similar) + (1 - SSIM_SHARE) * (images - rebuilt).abs().mean(dim=(1, 2, 3))
        return Judged(recon, self.gauss(z), residual, rebuilt)

    def gauss(self, z: Tensor) -> Tensor:
        """1 - exp(-|z - c|^2 / sigma), 0 at the centre, towards 1 far from it."""
        return 1 - torch.exp(-(z - self.centre).square().sum(dim=1) / self.sigma)

    def mixed(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """Images decoded between two codes each, and the share of the first, at most a half."""
        z = self.encode(f)
        share = 0.5 * torch.rand(len(z), 1, device=z.device)
        return self.decode(share * z + (1 - share) * z.flip(0)).float(), share[:, 0]

    @torch.no_grad()
    def centre_on(self, codes: Tensor) -> None:
        """c: the mean of codes (N, latent); sigma: their mean distance from it, at least 1."""
        self.centre.copy_(codes.mean(dim=0))
        self.sigma.copy_((codes - self.centre).norm(dim=1).mean().clamp_min(SMALLEST_SIGMA))


class IGD(CCD):
    """See the module's docstring; score 0 or more, mostly below 1. The map is the mean of the two branches' MS-SSIM
    residuals, smoothed; the reconstruction is the whole image's."""

    Config: ClassVar[type[ModelConfig]] = IGDConfig
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(256, {**PAPER, "map_sigma": 4.0}),
        "small": Preset(64, {**SMALL, "igd_steps": 1000, "igd_learning_rate": 1e-3}),
    }
    config: IGDConfig

    def __init__(self, config: IGDConfig, network: nn.Module | None = None) -> None:
        super().__init__(config, network)
        height, width, side = config.height, config.width, config.patch_side
        feature = self.shapes[-1][0]
        self.branches = nn.ModuleDict({"image": Branch(feature, config, height, width)})
        self.critics = nn.ModuleDict({"image": Critic(config.channels, CRITIC[config.size])})
        if config.local:
            self.branches["patch"] = Branch(feature, config, side, side)
            self.critics["patch"] = Critic(config.channels, CRITIC[config.size])
            self.grid = PatchGrid(height, width, side, max(1, side // 2))
            self.kept_codes = 1.0
        self.blur = GaussianBlur(config.map_sigma, height, width)
        self._step: tuple[Tensor, dict[str, tuple[Tensor, Tensor]]] | None = None

    def forward(self, images: Tensor) -> Output:
        whole: Judged = self.branches["image"](images, self.pooled(images))
        score = (1 - GAUSS_OF_IMAGE) * whole.recon + GAUSS_OF_IMAGE * whole.gauss
        found = whole.residual
        if self.config.local:
            patches = self.grid.cut(images).flatten(0, 1)
            part: Judged = self.branches["patch"](patches, self.pooled(patches))
            each = (1 - GAUSS_OF_PATCH) * part.recon + GAUSS_OF_PATCH * part.gauss
            score = (score + each.reshape(-1, len(self.grid)).amax(dim=1)) / 2
            found = (found + self.grid.blend(part.residual)) / 2
        return Output(score, self.blur(found[:, None])[:, 0], whole.rebuilt)

    def stages(self, images: int) -> list[Stage]:
        config = self.config
        steps = config.detector_steps(images)
        players = [
            Player("generator", list(self.branches.parameters()), partial(adam, config), self.generator_loss),
            Player("critic", list(self.critics.parameters()), partial(adam, config), self.critic_loss),
        ]
        if config.local:
            self.kept_codes = min(1.0, MOST_CODES / (images * len(self.grid)))
        every = max(1, REFRESH_EPOCHS * images // min(config.igd_batch_size, images))
        detector = Stage(
            "igd", players, steps, config.igd_batch_size, begin=self.centre, begin_every=every, end=self.finish
        )
        return [*self.pretraining(images), detector]

    def generator_loss(self, images: Tensor) -> dict[str, Tensor]:
        """L_G of each branch."""
        terms: dict[str, Tensor] = {}
        for name, (seen, f) in self.step_views(images).items():
            branch = self.branch(name)
            judged: Judged = branch(seen, f)
            mixed, _ = branch.mixed(f)
            terms |= {
                f"{name}_recon": judged.recon.mean(),
                f"{name}_gauss": judged.gauss.mean(),
                f"{name}_mix": CRITIC_WEIGHT * self.critics[name](mixed).square().mean(),
            }
        return terms

    def critic_loss(self, images: Tensor) -> dict[str, Tensor]:
        """L_D of each branch."""
        terms: dict[str, Tensor] = {}
        for name, (seen, f) in self.step_views(images).items():
            branch, critic = self.branch(name), self.critics[name]
            with torch.no_grad():
                mixed, share = branch.mixed(f)
                rebuilt = branch(seen, f).rebuilt
            nearly = rebuilt + CRITIC_MIX * (seen - rebuilt)
            terms[f"{name}_critic"] = (critic(mixed) - share).square().mean() + critic(nearly).square().mean()
        return terms

    def branch(self, name: str) -> Any:
        """The branch of the whole image, or of patches."""
        return self.branches[name]

    def views_of(self, images: Tensor) -> dict[str, Tensor]:
        """What each branch learns from: the images, and patches of them by chance."""
        found = {"image": images}
        if self.config.local:
            found["patch"] = random_patches(images, self.config.patch_side, self.config.train_patches)
        return found

    def step_views(self, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Each branch's views of a batch and their f; both players of a step learn from the same."""
        if self._step is None or self._step[0] is not images:
            views = self.views_of(images).items()
            self._step = images, {name: (seen, self.frozen_pooled(seen)) for name, seen in views}
        return self._step[1]

    def frozen_pooled(self, images: Tensor) -> Tensor:
        """f of the frozen backbone."""
        return self.frozen(images)[-1].mean(dim=(2, 3))

    @torch.no_grad()
    def centre(self, batches: Batches) -> None:
        """c and sigma of each branch anew, from all training images; of patches, those of the grid,
        or a million of them by chance."""
        codes: dict[str, list[Tensor]] = {name: [] for name in self.branches}
        for images in batches():
            codes["image"].append(self.branch("image").encode(self.frozen_pooled(images)))
            if self.config.local:
                patches = self.grid.cut(images).flatten(0, 1)
                if self.kept_codes < 1:
                    patches = patches[torch.rand(len(patches)) < self.kept_codes]
                codes["patch"].append(self.branch("patch").encode(self.frozen_pooled(patches)))
        for name, parts in codes.items():
            self.branch(name).centre_on(torch.cat(parts))

    def finish(self, batches: Batches) -> None:
        """The decoders' batch statistics over all training images, and the centres once more."""

        def judge(images: Tensor) -> None:
            for name, seen in self.views_of(images).items():
                self.branches[name](seen, self.frozen_pooled(seen))

        self._step = None
        reestimate_batch_norms(self.branches, judge, batches)
        self.eval()
        self.centre(batches)


def adam(config: IGDConfig, parameters: list[nn.Parameter]) -> Optimizer:
    """Adam with the released code's momenta and weight decay."""
    return torch.optim.Adam(parameters, lr=config.igd_learning_rate, betas=(0.0, 0.9), weight_decay=1e-6, fused=True)
