"""UTAD: an anomaly-free impression of the image, then the detail that it lacks; what does not fit either is anomalous.

Source: Liu, Zhuang & Lu, "Unsupervised Two-Stage Anomaly Detection", arXiv 2103.11671, and the authors' released test
code. The trainer was not released: how the losses add is our reading, and the measurement Phi (their eq. 8) is ours.

    stage 1, IE-Net:  x -> E_M -> bottleneck -> D_M -> impression m;  bottleneck -> (mu, sigma), a code beside it
        L = 100 |x - m|^2 + MI(bottleneck, code), local 1.5 and global .5 + .1 KL(code | N(0, 1)) [+ .1 GAN(m)]
    stage 2, Expert-Net (MUNIT, domains i: images, m: impressions), IE-Net frozen:
        x_hat = Dec_i(content_m(m), detail_i(x));  m_hat = Dec_m(content_i(x), detail_m(m))
    e = relu(D(x, x_hat) + D(x, m_hat) - D(x_hat, m) - V), V over versions of x_hat with drawn details
    A(x) from the maximum of e and from the distance of mu to its nearest neighbours among good images
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from daad.errors import ConfigError
from daad.models.base import AnomalyModel, Output
from daad.models.utad.config import POOLS, UTADConfig
from daad.models.utad.inception import InceptionAutoEncoder, InformationBranch, InformationCritic
from daad.models.utad.munit import Expert, MultiScaleDiscriminator
from daad.models.utad.perceptual import EdgesAndStructure, ImageNetFeatures, Measure
from daad.nn.convs import reestimate_batch_norms
from daad.nn.error_maps import GaussianBlur, RunningMoments
from daad.nn.losses import fake_loss, gaussian_divergence, least_squares, real_loss, sampled
from daad.presets import Preset
from daad.stages import Batches, ModelConfig, Player, Size, Stage

INCEPTION: Mapping[Size, tuple[int, int, int, int]] = {
    "nano": (4, 4, 4, 8),
    "small": (8, 8, 16, 32),
    "paper": (32, 32, 64, 128),
}
UPS: Mapping[Size, tuple[int, int, int, int]] = {"nano": (2, 2, 2, 2), "small": (2, 2, 2, 2), "paper": (2, 4, 2, 2)}
DIM: Mapping[Size, int] = {"nano": 4, "small": 16, "paper": 64}
RESIDUALS: Mapping[Size, int] = {"nano": 1, "small": 1, "paper": 2}
SCALES: Mapping[Size, int] = {"nano": 1, "small": 2, "paper": 3}
CRITIC_WIDTH = 32
NOWHERE = 1e3  # where the free places of the bank lie: farther from any code than another
SMALLEST_SPREAD = 1e-8


class Pictures(NamedTuple):
    """impression m, x_hat, and the naive impression m_hat, (B, C, H, W) each; mu (B, latent)."""

    impression: Tensor
    rebuilt: Tensor
    naive: Tensor
    code: Tensor


class UTAD(AnomalyModel):
    """See the module's docstring; score 0 or more by the map or the neighbours, in spreads around 0 by both."""

    Config: ClassVar[type[ModelConfig]] = UTADConfig
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            256,
            {
                "size": "paper",
                "epochs": 400,
                "batch_size": 128,
                "image_gan": True,
                "expert_steps": 100_000,
                "expert_batch_size": 1,
                "random_codes": 10,
                "paired": False,
                "map_sigma": 4.0,
            },
        ),
        "small": Preset(
            64,
            {"size": "small", "steps": 600, "batch_size": 16, "expert_steps": 1000, "expert_learning_rate": 5e-4},
        ),
    }
    config: UTADConfig
    bank: Tensor
    usual: Tensor
    usual_spread: Tensor
    drawn: Tensor

    def __init__(self, config: UTADConfig) -> None:
        super().__init__(config)
        size, channels, shape = config.size, config.channels, (config.height, config.width)
        self.impress = InceptionAutoEncoder(channels, INCEPTION[size], POOLS[size], UPS[size])
        side = min(shape) // math.prod(POOLS[size])
        self.inform = InformationBranch(self.impress.width, side, config.code_length)
        critics: dict[str, nn.Module] = {"information": InformationCritic(self.impress.width, config.code_length)}
        if config.image_gan:
            critics["image"] = MultiScaleDiscriminator(channels, CRITIC_WIDTH, SCALES[size], *shape)
        self.critics = nn.ModuleDict(critics)
        of_expert = (channels, DIM[size], RESIDUALS[size], config.detail)
        self.images, self.impressions = Expert(*of_expert), Expert(*of_expert)
        self.judges = nn.ModuleList(MultiScaleDiscriminator(channels, DIM[size], SCALES[size], *shape) for _ in "im")
        self.measure: Measure = {"structure": EdgesAndStructure, "lite0": ImageNetFeatures}[config.measure](*shape)
        self.blur = GaussianBlur(config.map_sigma, *shape)
        self.register_buffer("bank", torch.full((config.bank_items, config.code_length), NOWHERE))
        self.register_buffer("usual", torch.zeros(2))  # of the map's and the neighbours' score over training images
        self.register_buffer("usual_spread", torch.ones(2))
        self.register_buffer("drawn", torch.randn(config.random_codes, config.detail))

    @classmethod
    def size_multiple(cls, settings: Mapping[str, Any]) -> int:
        return math.prod(POOLS[settings.get("size", "small")])

    def forward(self, images: Tensor) -> Output:
        found = self.draw(images)
        anomaly_map = self.blur(self.unlike(images, found)[:, None])[:, 0]
        by_map, by_code = anomaly_map.amax(dim=(1, 2)), self.to_neighbours(found.code, self.config.neighbours)
        both = (torch.stack([by_map, by_code], dim=1) - self.usual) / self.usual_spread
        score = {"map": by_map, "neighbours": by_code, "both": both.mean(dim=1)}[self.config.score]
        drawn = {"impression": found.impression, "naive impression": found.naive}
        return Output(score, anomaly_map, found.rebuilt, drawn)

    def draw(self, images: Tensor) -> Pictures:
        """m, x_hat, m_hat and mu of images."""
        bottleneck = self.impress.encoder(images)
        m = self.impress.decoder(bottleneck)
        rebuilt = self.images.decode(self.impressions.content(m), self.images.detail(images))
        naive = self.impressions.decode(self.images.content(images), self.impressions.detail(m))
        return Pictures(m, rebuilt, naive, self.inform(bottleneck)[0])

    def unlike(self, images: Tensor, found: Pictures) -> Tensor:
        """Phi: e (B, H, W), before any smoothing. What Expert-Net adds to m is normal detail, and is taken off."""
        apart = self.measure.distance(images, found.rebuilt) + self.measure.distance(images, found.naive)
        added = self.measure.distance(found.rebuilt, found.impression)
        return F.relu(apart - added - self.variety(found.impression))

    def variety(self, impression: Tensor) -> Tensor | float:
        """V: the variance over versions of x_hat with details that were drawn once."""
        if len(self.drawn) < 2:
            return 0.0
        content = self.impressions.content(impression)
        count = content.shape[0]
        versions = [self.images.decode(content, self.drawn[k].expand(count, -1)) for k in range(len(self.drawn))]
        return self.measure.spread(versions)

    def to_neighbours(self, codes: Tensor, count: int) -> Tensor:
        """Mean distance of codes (B, latent) to the nearest of the bank, (B,)."""
        nearest: Tensor = torch.cdist(codes, self.bank).topk(count, largest=False).values
        return nearest.mean(dim=1)

    def stages(self, images: int) -> list[Stage]:
        config = self.config
        if images <= config.neighbours:
            raise ConfigError(
                f"neighbours {config.neighbours} needs more than the {images} training images; lower it, or give more"
            )
        slow, expert = config.critic_learning_rate, config.expert_learning_rate
        first = [
            player("impression", [self.impress, self.inform], config.learning_rate, self.impression_loss),
            player("critics", [self.critics], slow, self.critic_loss),
        ]
        second = [
            player("experts", [self.images, self.impressions], expert, self.expert_loss, betas=(0.5, 0.999)),
            player("judges", [self.judges], expert, self.judge_loss, betas=(0.5, 0.999)),
        ]
        return [
            Stage("impression", first, config.training_steps(images), config.batch_size, end=self.settle),
            Stage("detail", second, config.expert_steps, config.expert_batch_size, end=self.remember),
        ]

    def impression_loss(self, images: Tensor) -> dict[str, Tensor]:
        """L of IE-Net."""
        config = self.config
        bottleneck = self.impress.encoder(images)
        m = self.impress.decoder(bottleneck).float()
        mean, log_variance = (part.float() for part in self.inform(bottleneck))
        terms = {
            "rec": config.lambda_rec * F.mse_loss(m, images),
            "prior": config.lambda_prior * gaussian_divergence(mean, log_variance).mean(),
            **self.information(bottleneck, sampled(mean, log_variance)),
        }
        if config.image_gan:
            terms["gan"] = config.lambda_gan * least_squares(self.critics["image"](m), 1.0)
        return terms

    def critic_loss(self, images: Tensor) -> dict[str, Tensor]:
        """L of IE-Net's discriminators: they and the encoder want the same of the codes, and opposite of the images."""
        with torch.no_grad():
            bottleneck = self.impress.encoder(images)
            m = self.impress.decoder(bottleneck).float()
            mean, log_variance = (part.float() for part in self.inform(bottleneck))
        terms = self.information(bottleneck, sampled(mean, log_variance))
        if self.config.image_gan:
            judge = self.critics["image"]
            terms["gan"] = least_squares(judge(images), 1.0) + least_squares(judge(m), 0.0)
        return terms

    def information(self, maps: Tensor, codes: Tensor) -> dict[str, Tensor]:
        """Jensen-Shannon bound of the information, with another image's code as the false pair."""
        true, false = (self.critics["information"](maps, each) for each in (codes, codes.roll(1, 0)))
        local, whole = (real_loss(a.float()) + fake_loss(b.float()) for a, b in zip(true, false, strict=True))
        return {"local": self.config.lambda_local * local, "global": self.config.lambda_global * whole}

    def expert_loss(self, images: Tensor) -> dict[str, Tensor]:
        """L of both domains' generators."""
        config, m = self.config, self.frozen_impression(images)
        experts, seen = (self.images, self.impressions), (images, m)
        contents = [expert.content(own) for expert, own in zip(experts, seen, strict=True)]
        details = [expert.detail(own) for expert, own in zip(experts, seen, strict=True)]
        own, again, fooled = [], [], []
        for d, (expert, judge) in enumerate(zip(experts, self.judges, strict=True)):
            own.append(F.l1_loss(expert.decode(contents[d], details[d]).float(), seen[d]))
            foreign, drawn = contents[1 - d], torch.randn_like(details[d])
            fake = expert.decode(foreign, drawn)
            again.append(F.l1_loss(expert.content(fake).float(), foreign.detach().float()))
            again.append(F.l1_loss(expert.detail(fake).float(), drawn.float()))
            fooled.append(least_squares(judge(fake), 1.0))
        terms = {
            "image": config.lambda_image * torch.stack(own).sum(),
            "code": config.lambda_code * torch.stack(again).sum(),
            "gan": torch.stack(fooled).sum(),
        }
        if config.paired:
            rebuilt = self.images.decode(contents[1], details[0]).float()
            terms["paired"] = config.lambda_paired * F.l1_loss(rebuilt, images)
        return terms

    def judge_loss(self, images: Tensor) -> dict[str, Tensor]:
        """L of both domains' discriminators."""
        m = self.frozen_impression(images)
        with torch.no_grad():
            shape = (len(images), self.config.detail)
            drawn = [torch.randn(shape, device=images.device) for _ in "im"]
            fake_image = self.images.decode(self.impressions.content(m), drawn[0])
            fake_m = self.impressions.decode(self.images.content(images), drawn[1])
        pairs = zip(("images", "impressions"), self.judges, (images, m), (fake_image, fake_m), strict=True)
        return {
            name: least_squares(judge(real), 1.0) + least_squares(judge(fake), 0.0) for name, judge, real, fake in pairs
        }

    @torch.no_grad()
    def frozen_impression(self, images: Tensor) -> Tensor:
        """m as it will be when images are judged: stage 2 changes neither weights nor batch statistics of IE-Net."""
        self.impress.eval()
        m: Tensor = self.impress(images)
        return m.float()

    def settle(self, batches: Batches) -> None:
        """After stage 1: IE-Net's batch statistics over all training images."""
        reestimate_batch_norms(self.impress, self.impress, batches)

    @torch.no_grad()
    def remember(self, batches: Batches) -> None:
        """After stage 2: the bank of codes, and what both scores usually are on training images."""
        config = self.config
        self.eval()
        codes = torch.cat([self.inform(self.impress.encoder(images))[0] for images in batches()])
        kept = torch.randperm(len(codes))[: config.bank_items].to(codes.device)
        self.bank[: len(kept)] = codes[kept]
        scores = RunningMoments()
        for images in batches():
            found = self.draw(images)
            by_map = self.blur(self.unlike(images, found)[:, None]).amax(dim=(1, 2, 3))
            others = self.to_neighbours(found.code, config.neighbours + 1) * (config.neighbours + 1) / config.neighbours
            scores.update(torch.stack([by_map, others], dim=1))  # less the distance 0 to itself
        self.usual.copy_(scores.mean)
        self.usual_spread.copy_(scores.spread().clamp_min(SMALLEST_SPREAD))


def player(
    name: str, modules: list[nn.Module], rate: float, loss: Any, betas: tuple[float, float] = (0.9, 0.999)
) -> Player:
    """A party with Adam and the released configuration's weight decay."""

    def adam(parameters: list[nn.Parameter]) -> Optimizer:
        return torch.optim.Adam(parameters, lr=rate, betas=betas, weight_decay=1e-4, fused=True)

    return Player(name, list(chain.from_iterable(module.parameters() for module in modules)), adam, loss)
