"""IGD: a Gaussian of the codes of good images, and a decoder whose reconstruction is scored by MS-SSIM.

Source: Chen et al., "Deep One-Class Classification via Interpolated Gaussian Descriptor", AAAI 2022, and its released
code; on features learnt by CCD (Tian et al., MICCAI 2021), one of that paper's two detectors.

    x -> frozen features -> f -> z -> decoder G -> x_hat;  critic D
    recon = .85 (1 - MS-SSIM(x, x_hat)) + .15 mean |x - x_hat|;  gauss = 1 - exp(-|z - c|^2 / sigma)
    x_mix = G(a z + (1 - a) z'), z' the code of another image
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
REFRESH_EPOCHS = 10  # from one estimate of the centres to the next
MAX_CODES = 2**20  # of patches, in memory at once: 128 MiB at size small
SMALLEST_PATCH = 4  # pixels of a side


class IGDConfig(FeatureModelConfig, TrainedConfig):
    """Settings of IGD. `steps`, `batch_size` and `learning_rate` are those of decoder and critic."""

    batch_size: int = Field(16, ge=2, le=4096, description="images a training step")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Adam's learning rate for decoder and critic")
    latent: int | None = Field(None, ge=1, le=4096, description="length of z; None: from size")
    local: bool = Field(True, description="score patches besides the full image")
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
    def _patches_large_enough(self) -> Self:
        if self.local and self.patch_side < SMALLEST_PATCH:
            raise ConfigError(
                f"patches {self.patches} leaves {self.patch_side} pixels a side, fewer than {SMALLEST_PATCH}; "
                "lower it, or raise image_size"
            )
        return self


class BranchOutput(NamedTuple):
    """recon and gauss (B,), residual map (B, H, W), x_hat (B, C, H, W)."""

    recon: Tensor
    gauss: Tensor
    residual: Tensor
    rebuilt: Tensor


class Branch(nn.Module):
    """One scale of IGD: f -> z -> x_hat, and the Gaussian of z with centre c and width sigma.

    Args:
        feature: length of f.
        config: for latent, channels and size.
        height: H of the images or patches.
        width: W of the images or patches.
    """

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
        similarity, residual = self.ssim(images, rebuilt)
        recon = SSIM_SHARE * (1 - similarity) + (1 - SSIM_SHARE) * (images - rebuilt).abs().mean(dim=(1, 2, 3))
        return BranchOutput(recon, self.gauss(z), residual, rebuilt)

    def gauss(self, z: Tensor) -> Tensor:
        """1 - exp(-|z - c|^2 / sigma), 0 at the centre, towards 1 far from it."""
        return 1 - torch.exp(-(z - self.centre).square().sum(dim=1) / self.sigma)

    def interpolate(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """x_mix (B, C, H, W), decoded between the codes of two images, and the share a (B,) of the first, up to 1/2."""
        z = self.encode(f)
        share = 0.5 * torch.rand(len(z), 1, device=z.device)
        return self.decode(share * z + (1 - share) * z.flip(0)).float(), share[:, 0]

    @torch.no_grad()
    def fit_gaussian(self, codes: Tensor) -> None:
        """c: the mean of codes (N, latent); sigma: their mean distance from it, at least 1."""
        self.centre.copy_(codes.mean(dim=0))
        self.sigma.copy_((codes - self.centre).norm(dim=1).mean().clamp_min(SMALLEST_SIGMA))


class IGD(FeatureModel):
    """See the module's docstring; score 0 or more, mostly below 1.

    The map is the smoothed mean of both branches' MS-SSIM residuals; the reconstruction is that of the image branch.
    """

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
        image: BranchOutput = self.branches["image"](images, self.pooled(images))
        score = (1 - GAUSS_OF_IMAGE) * image.recon + GAUSS_OF_IMAGE * image.gauss
        residual = image.residual
        if self.config.local:
            patches = self.grid.cut(images).flatten(0, 1)
            patch: BranchOutput = self.branches["patch"](patches, self.pooled(patches))
            patch_scores = (1 - GAUSS_OF_PATCH) * patch.recon + GAUSS_OF_PATCH * patch.gauss
            score = (score + patch_scores.reshape(-1, len(self.grid)).amax(dim=1)) / 2
            residual = (residual + self.grid.blend(patch.residual)) / 2
        return Output(score, self.blur(residual[:, None])[:, 0], image.rebuilt)

    def stages(self, images: int) -> list[Stage]:
        config = self.config
        inputs = StepInputs(self)
        players = [
            Player("generator", list(self.branches.parameters()), partial(adam, config), partial(self.g_loss, inputs)),
            Player("critic", list(self.critics.parameters()), partial(adam, config), partial(self.d_loss, inputs)),
        ]
        code_share = min(1.0, MAX_CODES / (images * len(self.grid))) if config.local else 1.0
        every = max(1, REFRESH_EPOCHS * images // min(config.batch_size, images))
        detector = Stage(
            "igd",
            players,
            config.training_steps(images),
            config.batch_size,
            begin=partial(self.fit_gaussians, code_share=code_share),
            begin_every=every,
            end=partial(self.finalise, code_share=code_share),
        )
        return [*self.features.stages(images), detector]

    def g_loss(self, step_inputs: StepInputs, images: Tensor) -> dict[str, Tensor]:
        """L_G of every branch."""
        terms: dict[str, Tensor] = {}
        for name, (inputs, f) in step_inputs.of(images).items():
            branch = self.branch(name)
            output: BranchOutput = branch(inputs, f)
            mixed, _ = branch.interpolate(f)
            terms |= {
                f"{name}_recon": output.recon.mean(),
                f"{name}_gauss": output.gauss.mean(),
                f"{name}_mix": CRITIC_WEIGHT * self.critics[name](mixed).square().mean(),
            }
        return terms

    def d_loss(self, step_inputs: StepInputs, images: Tensor) -> dict[str, Tensor]:
        """L_D of every branch."""
        terms: dict[str, Tensor] = {}
        for name, (inputs, f) in step_inputs.of(images).items():
            branch, critic = self.branch(name), self.critics[name]
            with torch.no_grad():
                mixed, share = branch.interpolate(f)
                rebuilt = branch(inputs, f).rebuilt
            regularised = rebuilt + CRITIC_MIX * (inputs - rebuilt)  # x_hat + .2 (x - x_hat)
            terms[f"{name}_critic"] = (critic(mixed) - share).square().mean() + critic(regularised).square().mean()
        return terms

    def branch(self, name: str) -> Any:
        """The branch "image" or "patch"."""
        return self.branches[name]

    def branch_inputs(self, images: Tensor) -> dict[str, Tensor]:
        """The training input of every branch: the images, and random patches of them."""
        inputs = {"image": images}
        if self.config.local:
            inputs["patch"] = random_patches(images, self.config.patch_side, self.config.train_patches)
        return inputs

    def pooled(self, images: Tensor) -> Tensor:
        """f (B, D): the last map, averaged over its positions."""
        last: Tensor = self.features(images)[-1]
        return last.mean(dim=(2, 3))

    def frozen_pooled(self, images: Tensor) -> Tensor:
        """f of the frozen features."""
        return self.frozen_maps(images)[-1].mean(dim=(2, 3))

    @torch.no_grad()
    def fit_gaussians(self, batches: Batches, code_share: float = 1.0) -> None:
        """Estimate c and sigma of every branch from all training images.

        The patch branch uses the patches of the grid, or a random share `code_share` of them.
        """
        codes: dict[str, list[Tensor]] = {name: [] for name in self.branches}
        for images in batches():
            codes["image"].append(self.branch("image").encode(self.frozen_pooled(images)))
            if self.config.local:
                patches = self.grid.cut(images).flatten(0, 1)
                if code_share < 1:
                    patches = patches[torch.rand(len(patches)) < code_share]
                codes["patch"].append(self.branch("patch").encode(self.frozen_pooled(patches)))
        for name, batch_codes in codes.items():
            self.branch(name).fit_gaussian(torch.cat(batch_codes))

    def finalise(self, batches: Batches, code_share: float = 1.0) -> None:
        """Re-estimate the decoders' batch statistics over all training images, then the Gaussians."""

        def forward(images: Tensor) -> None:
            for name, inputs in self.branch_inputs(images).items():
                self.branches[name](inputs, self.frozen_pooled(inputs))

        reestimate_batch_norms(self.branches, forward, batches)
        self.eval()
        self.fit_gaussians(batches, code_share=code_share)


class StepInputs:
    """The branches' inputs of the current batch and their f: drawn once a step, for both players."""

    def __init__(self, model: IGD) -> None:
        self._model = model
        self._batch: Tensor | None = None
        self._inputs: dict[str, tuple[Tensor, Tensor]] = {}

    def of(self, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """(inputs, f) of every branch."""
        if self._batch is not images:
            self._batch = images
            branch_inputs = self._model.branch_inputs(images).items()
            self._inputs = {name: (inputs, self._model.frozen_pooled(inputs)) for name, inputs in branch_inputs}
        return self._inputs


def adam(config: IGDConfig, parameters: list[nn.Parameter]) -> Optimizer:
    """Adam with the released code's momenta and weight decay."""
    return torch.optim.Adam(parameters, lr=config.learning_rate, betas=(0.0, 0.9), weight_decay=1e-6, fused=True)
