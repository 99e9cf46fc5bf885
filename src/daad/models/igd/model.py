"""IGD: a Gaussian about the centre of the codes of good images, and a decoder whose rebuilding is judged by MS-SSIM.

Source: Chen et al., "Deep One-Class Classification via Interpolated Gaussian Descriptor", AAAI 2022, and its released
code; on features learnt by CCD (Tian et al., MICCAI 2021), one of that paper's two detectors.

    x -> frozen features -> f -> z -> decoder G -> x_hat;  critic D
    recon = .85 (1 - MS-SSIM(x, x_hat)) + .15 mean |x - x_hat|;  gauss = 1 - exp(-|z - c|^2 / sigma)
    x_mix = G(a z + (1 - a) z'), z' of another image
    L_G = recon + gauss + .1 D(x_mix)^2;  L_D = (D(x_mix) - a)^2 + D(x_hat + .2 (x - x_hat))^2
    A(x) = (.1 recon + .9 gauss of the image) / 2 + max over patches of (.9 recon + .1 gauss) / 2
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from daad.errors import ConfigError
from daad.models.base import Output
from daad.models.feature_model import FeatureModel, FeatureModelConfig
from daad.models.igd.networks import Critic, Decoder
from daad.nn.convs import reestimate_batch_norms
from daad.nn.error_maps import GaussianBlur
from daad.nn.patches import PatchGrid, random_patches
from daad.nn.ssim import MultiScaleSSIM
from daad.presets import Preset
from daad.stages import Batches, ModelConfig, Player, Size, Stage, TrainedConfig

LATENT: Mapping[Size, int] = {"nano": 8, "small": 32, "paper": 128}
DECODER: Mapping[Size, tuple[int, ...]] = {
    "nano": (16, 16, 8, 8, 8),
    "small": (128, 64, 32, 16, 16),
    "paper": (512, 256, 128, 64, 32),
}
CRITIC: Mapping[Size, int] = {"nano": 8, "small": 16, "paper": 64}
SSIM_SHARE = 0.85
CRITIC_WEIGHT = 0.1
CRITIC_MIX = 0.2
GAUSS_OF_IMAGE, GAUSS_OF_PATCH = 0.9, 0.1
SMALLEST_SIGMA = 1.0
REFRESH_EPOCHS = 10
MOST_CODES = 2**20  # of patches, held at once: 128 MiB at size small
SMALLEST_PATCH = 4  # pixels of its side


class IGDConfig(FeatureModelConfig, TrainedConfig):
    """Settings of IGD. `steps`, `batch_size` and `learning_rate` are those of decoder and critic."""

    batch_size: int = Field(16, ge=2, le=4096, description="images a training step")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Adam's learning rate for decoder and critic")
    latent: int | None = Field(None, ge=1, le=4096, description="length of z; None: from size")
    local: bool = Field(True, description="judge patches beside the whole image")
    train_patches: int = Field(4, ge=1, le=1024, description="patches of an image in a step")
    patches: int = Field(4, ge=2, le=64, description="the short side of an image in sides of a patch")
    map_sigma: float = Field(1.0, ge=0, le=64, description="Gaussian smoothing of the anomaly map, in model pixels")

    @property
    def latent_width(self) -> int:
        """The length of z."""
        return self.latent or LATENT[self.size]

    @property
    def patch_side(self) -> int:
        """Pixels of a patch's side."""
        return min(self.height, self.width) // self.patches

    @model_validator(mode="after")
    def _patches_show_something(self) -> Self:
        if self.local and self.patch_side < SMALLEST_PATCH:
            raise ConfigError(
                f"patches {self.patches} leaves {self.patch_side} pixels a side, fewer than {SMALLEST_PATCH}; "
                "lower it, or raise image_size"
            )
        return self


class BranchOutput(NamedTuple):
    """recon and gauss (B,), map of the residual (B, H, W), x_hat (B, C, H, W)."""

    recon: Tensor
    gauss: Tensor
    residual: Tensor
    rebuilt: Tensor


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

    def forward(self, images: Tensor, f: Tensor) -> BranchOutput:
        z = self.encode(f).float()
        rebuilt = self.decode(z).float()
        similar, residual = self.ssim(images, rebuilt)
        recon = SSIM_SHARE * (1 - similar) + (1 - SSIM_SHARE) * (images - rebuilt).abs().mean(dim=(1, 2, 3))
        return BranchOutput(recon, self.gauss(z), residual, rebuilt)

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


class IGD(FeatureModel):
    """See the module's docstring; score 0 or more, mostly below 1. The map is the mean of the two branches' MS-SSIM
    residuals, smoothed; the reconstruction is the whole image's."""

    Config: ClassVar[type[ModelConfig]] = IGDConfig
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(256, {"size": "paper", "epochs": 256, "patches": 8, "map_sigma": 4.0}),
        "small": Preset(64, {"size": "small", "steps": 1000, "learning_rate": 1e-3}),
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
        self.blur = GaussianBlur(config.map_sigma, height, width)

    def forward(self, images: Tensor) -> Output:
        of_image: BranchOutput = self.branches["image"](images, self.pooled(images))
        score = (1 - GAUSS_OF_IMAGE) * of_image.recon + GAUSS_OF_IMAGE * of_image.gauss
        residual = of_image.residual
        if self.config.local:
            patches = self.grid.cut(images).flatten(0, 1)
            of_patch: BranchOutput = self.branches["patch"](patches, self.pooled(patches))
            patch_scores = (1 - GAUSS_OF_PATCH) * of_patch.recon + GAUSS_OF_PATCH * of_patch.gauss
            score = (score + patch_scores.reshape(-1, len(self.grid)).amax(dim=1)) / 2
            residual = (residual + self.grid.blend(of_patch.residual)) / 2
        return Output(score, self.blur(residual[:, None])[:, 0], of_image.rebuilt)

    def stages(self, images: int) -> list[Stage]:
        config = self.config
        views = StepViews(self)
        players = [
            Player("generator", list(self.branches.parameters()), partial(adam, config), partial(self.g_loss, views)),
            Player("critic", list(self.critics.parameters()), partial(adam, config), partial(self.d_loss, views)),
        ]
        kept_codes = min(1.0, MOST_CODES / (images * len(self.grid))) if config.local else 1.0
        every = max(1, REFRESH_EPOCHS * images // min(config.batch_size, images))
        detector = Stage(
            "igd",
            players,
            config.training_steps(images),
            config.batch_size,
            begin=partial(self.centre, kept_codes=kept_codes),
            begin_every=every,
            end=partial(self.finish, kept_codes=kept_codes),
        )
        return [*self.features.stages(images), detector]

    def g_loss(self, views: StepViews, images: Tensor) -> dict[str, Tensor]:
        """L_G of each branch."""
        terms: dict[str, Tensor] = {}
        for name, (inputs, f) in views.of(images).items():
            branch = self.branch(name)
            output: BranchOutput = branch(inputs, f)
            mixed, _ = branch.mixed(f)
            terms |= {
                f"{name}_recon": output.recon.mean(),
                f"{name}_gauss": output.gauss.mean(),
                f"{name}_mix": CRITIC_WEIGHT * self.critics[name](mixed).square().mean(),
            }
        return terms

    def d_loss(self, views: StepViews, images: Tensor) -> dict[str, Tensor]:
        """L_D of each branch."""
        terms: dict[str, Tensor] = {}
        for name, (inputs, f) in views.of(images).items():
            branch, critic = self.branch(name), self.critics[name]
            with torch.no_grad():
                mixed, share = branch.mixed(f)
                rebuilt = branch(inputs, f).rebuilt
            nearly = rebuilt + CRITIC_MIX * (inputs - rebuilt)
            terms[f"{name}_critic"] = (critic(mixed) - share).square().mean() + critic(nearly).square().mean()
        return terms

    def branch(self, name: str) -> Any:
        """The branch of the whole image, or of patches."""
        return self.branches[name]

    def views_of(self, images: Tensor) -> dict[str, Tensor]:
        """What each branch learns from: the images, and patches of them by chance."""
        views = {"image": images}
        if self.config.local:
            views["patch"] = random_patches(images, self.config.patch_side, self.config.train_patches)
        return views

    def pooled(self, images: Tensor) -> Tensor:
        """f (B, D): the mean of the last maps."""
        last: Tensor = self.features(images)[-1]
        return last.mean(dim=(2, 3))

    def frozen_pooled(self, images: Tensor) -> Tensor:
        """f of the frozen features."""
        return self.frozen(images)[-1].mean(dim=(2, 3))

    @torch.no_grad()
    def centre(self, batches: Batches, kept_codes: float = 1.0) -> None:
        """c and sigma of each branch anew, from all training images; of patches, those of the grid,
        or the share `kept_codes` of them by chance."""
        codes: dict[str, list[Tensor]] = {name: [] for name in self.branches}
        for images in batches():
            codes["image"].append(self.branch("image").encode(self.frozen_pooled(images)))
            if self.config.local:
                patches = self.grid.cut(images).flatten(0, 1)
                if kept_codes < 1:
                    patches = patches[torch.rand(len(patches)) < kept_codes]
                codes["patch"].append(self.branch("patch").encode(self.frozen_pooled(patches)))
        for name, parts in codes.items():
            self.branch(name).centre_on(torch.cat(parts))

    def finish(self, batches: Batches, kept_codes: float = 1.0) -> None:
        """The decoders' batch statistics over all training images, and the centres once more."""

        def judge(images: Tensor) -> None:
            for name, inputs in self.views_of(images).items():
                self.branches[name](inputs, self.frozen_pooled(inputs))

        reestimate_batch_norms(self.branches, judge, batches)
        self.eval()
        self.centre(batches, kept_codes=kept_codes)


class StepViews:
    """What the branches see of the batch in hand, and the f of it: drawn once a step, for both players."""

    def __init__(self, model: IGD) -> None:
        self._model = model
        self._batch: Tensor | None = None
        self._views: dict[str, tuple[Tensor, Tensor]] = {}

    def of(self, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """(views, f) of each branch."""
        if self._batch is not images:
            views = self._model.views_of(images).items()
            self._batch = images
            self._views = {name: (inputs, self._model.frozen_pooled(inputs)) for name, inputs in views}
        return self._views


def adam(config: IGDConfig, parameters: list[nn.Parameter]) -> Optimizer:
    """Adam with the released code's momenta and weight decay."""
    return torch.optim.Adam(parameters, lr=config.learning_rate, betas=(0.0, 0.9), weight_decay=1e-6, fused=True)
