"""UTAD: an anomaly-free impression of the image, then its detail; what neither can reconstruct is anomalous.

Source: Liu, Zhuang & Lu, "Unsupervised Two-Stage Anomaly Detection", arXiv 2103.11671, and the authors' released test
code. The trainer was not released: the sum of the losses is our reading, and the measurement Phi (their eq. 8) is ours.

    stage 1, IE-Net:  x -> E_M -> bottleneck -> D_M -> impression m;  bottleneck -> code N(mu, sigma)
        L = 100 |x - m|^2 + MI(bottleneck, code), local 1.5 and global .5 + .1 KL(code | N(0, 1)) [+ .1 GAN(m)]
    stage 2, Expert-Net (MUNIT, domains i: images, m: impressions), IE-Net frozen:
        x_hat = Dec_i(content_m(m), detail_i(x));  m_hat = Dec_m(content_i(x), detail_m(m))
    e = relu(D(x, x_hat) + D(x, m_hat) - D(x_hat, m) - V), V the variance of x_hat over random details
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
from daad.nn.losses import fake_loss, gaussian_divergence, least_squares, real_loss, reparameterise
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
FAR = 1e3  # unused rows of the bank: never among the nearest neighbours of a code
SMALLEST_DEVIATION = 1e-8


class Pictures(NamedTuple):
    """Impression m, x_hat and naive impression m_hat (B, C, H, W); mu (B, latent)."""

    impression: Tensor
    rebuilt: Tensor
    naive: Tensor
    code: Tensor


class UTAD(AnomalyModel):
    """See the module's docstring; score 0 or more by the map or the neighbours, standardised by both."""

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
        expert_shape = (channels, DIM[size], RESIDUALS[size], config.detail)
        self.images, self.impressions = Expert(*expert_shape), Expert(*expert_shape)
        self.judges = nn.ModuleList(MultiScaleDiscriminator(channels, DIM[size], SCALES[size], *shape) for _ in "im")
        self.measure: Measure = {"structure": EdgesAndStructure, "lite0": ImageNetFeatures}[config.measure](*shape)
        self.blur = GaussianBlur(config.map_sigma, *shape)
        self.register_buffer("bank", torch.full((config.bank_items, config.code_length), FAR))
        # mean and deviation of the scores by map and by neighbours, over the training images
        self.register_buffer("usual", torch.zeros(2))
        self.register_buffer("usual_spread", torch.ones(2))
        self.register_buffer("drawn", torch.randn(config.random_codes, config.detail))

    @classmethod
    def size_multiple(cls, settings: Mapping[str, Any]) -> int:
        return math.prod(POOLS[settings.get("size", "small")])

    def forward(self, images: Tensor) -> Output:
        generated = self.generate(images)
        anomaly_map = self.blur(self.error_map(images, generated)[:, None])[:, 0]
        by_map, by_code = anomaly_map.amax(dim=(1, 2)), self.neighbour_distance(generated.code, self.config.neighbours)
        both = (torch.stack([by_map, by_code], dim=1) - self.usual) / self.usual_spread
        score = {"map": by_map, "neighbours": by_code, "both": both.mean(dim=1)}[self.config.score]
        pictures = {"impression": generated.impression, "naive impression": generated.naive}
        return Output(score, anomaly_map, generated.rebuilt, pictures)

    def generate(self, images: Tensor) -> Pictures:
        """m, x_hat, m_hat and mu of images."""
        bottleneck = self.impress.encoder(images)
        m = self.impress.decoder(bottleneck)
        rebuilt = self.images.decode(self.impressions.content(m), self.images.detail(images))
        naive = self.impressions.decode(self.images.content(images), self.impressions.detail(m))
        return Pictures(m, rebuilt, naive, self.inform(bottleneck)[0])

    def error_map(self, images: Tensor, generated: Pictures) -> Tensor:
        """Phi: e (B, H, W), not smoothed. The detail that Expert-Net adds to m is normal, and is subtracted."""
        error = self.measure.distance(images, generated.rebuilt) + self.measure.distance(images, generated.naive)
        detail = self.measure.distance(generated.rebuilt, generated.impression)
        return F.relu(error - detail - self.detail_variance(generated.impression))

    def detail_variance(self, impression: Tensor) -> Tensor | float:
        """V (B, H, W): the variance of x_hat over the fixed random details; 0 for fewer than two."""
        if len(self.drawn) < 2:
            return 0.0
        content = self.impressions.content(impression)
        count = content.shape[0]
        versions = [self.images.decode(content, self.drawn[k].expand(count, -1)) for k in range(len(self.drawn))]
        return self.measure.variance(versions)

    def neighbour_distance(self, codes: Tensor, count: int) -> Tensor:
        """Mean distance of codes (B, latent) to their `count` nearest neighbours in the bank, (B,)."""
        nearest: Tensor = torch.cdist(codes, self.bank).topk(count, largest=False).values
        return nearest.mean(dim=1)

    def stages(self, images: int) -> list[Stage]:
        config = self.config
        if images <= config.neighbours:
            raise ConfigError(
                f"neighbours {config.neighbours} needs more than the {images} training images; lower it, or give more"
            )
        critic_rate, expert_rate = config.critic_learning_rate, config.expert_learning_rate
        ie_net = [
            player("impression", [self.impress, self.inform], config.learning_rate, self.impression_loss),
            player("critics", [self.critics], critic_rate, self.critic_loss),
        ]
        expert_net = [
            player("experts", [self.images, self.impressions], expert_rate, self.expert_loss, betas=(0.5, 0.999)),
            player("judges", [self.judges], expert_rate, self.discriminator_loss, betas=(0.5, 0.999)),
        ]
        steps, end = config.training_steps(images), self.reestimate_statistics
        return [
            Stage("impression", ie_net, steps, config.batch_size, end=end),
            Stage("detail", expert_net, config.expert_steps, config.expert_batch_size, end=self.fill_bank),
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
            **self.information(bottleneck, reparameterise(mean, log_variance)),
        }
        if config.image_gan:
            terms["gan"] = config.lambda_gan * least_squares(self.critics["image"](m), 1.0)
        return terms

    def critic_loss(self, images: Tensor) -> dict[str, Tensor]:
        """L of IE-Net's discriminators: that of codes shares the encoder's terms, that of images is adversarial."""
        with torch.no_grad():
            bottleneck = self.impress.encoder(images)
            m = self.impress.decoder(bottleneck).float()
            mean, log_variance = (part.float() for part in self.inform(bottleneck))
        terms = self.information(bottleneck, reparameterise(mean, log_variance))
        if self.config.image_gan:
            discriminator = self.critics["image"]
            terms["gan"] = least_squares(discriminator(images), 1.0) + least_squares(discriminator(m), 0.0)
        return terms

    def information(self, maps: Tensor, codes: Tensor) -> dict[str, Tensor]:
        """Jensen-Shannon bound of the mutual information; the code of another image makes a false pair."""
        true, false = (self.critics["information"](maps, paired) for paired in (codes, codes.roll(1, 0)))
        local, pooled = (real_loss(t.float()) + fake_loss(f.float()) for t, f in zip(true, false, strict=True))
        return {"local": self.config.lambda_local * local, "global": self.config.lambda_global * pooled}

    def expert_loss(self, images: Tensor) -> dict[str, Tensor]:
        """L of both domains' generators."""
        config, m = self.config, self.frozen_impression(images)
        experts, inputs = (self.images, self.impressions), (images, m)
        contents = [expert.content(x) for expert, x in zip(experts, inputs, strict=True)]
        details = [expert.detail(x) for expert, x in zip(experts, inputs, strict=True)]
        image_terms, code_terms, gan_terms = [], [], []
        for d, (expert, discriminator) in enumerate(zip(experts, self.judges, strict=True)):
            image_terms.append(F.l1_loss(expert.decode(contents[d], details[d]).float(), inputs[d]))
            content, detail = contents[1 - d], torch.randn_like(details[d])  # of the other domain, and random
            fake = expert.decode(content, detail)
            code_terms.append(F.l1_loss(expert.content(fake).float(), content.detach().float()))
            code_terms.append(F.l1_loss(expert.detail(fake).float(), detail.float()))
            gan_terms.append(least_squares(discriminator(fake), 1.0))
        terms = {
            "image": config.lambda_image * torch.stack(image_terms).sum(),
            "code": config.lambda_code * torch.stack(code_terms).sum(),
            "gan": torch.stack(gan_terms).sum(),
        }
        if config.paired:
            rebuilt = self.images.decode(contents[1], details[0]).float()
            terms["paired"] = config.lambda_paired * F.l1_loss(rebuilt, images)
        return terms

    def discriminator_loss(self, images: Tensor) -> dict[str, Tensor]:
        """L of both domains' discriminators."""
        m = self.frozen_impression(images)
        with torch.no_grad():
            shape = (len(images), self.config.detail)
            image_detail, m_detail = (torch.randn(shape, device=images.device) for _ in "im")
            fake_image = self.images.decode(self.impressions.content(m), image_detail)
            fake_m = self.impressions.decode(self.images.content(images), m_detail)
        domains = zip(("images", "impressions"), self.judges, (images, m), (fake_image, fake_m), strict=True)
        return {
            name: least_squares(discriminator(real), 1.0) + least_squares(discriminator(fake), 0.0)
            for name, discriminator, real, fake in domains
        }

    @torch.no_grad()
    def frozen_impression(self, images: Tensor) -> Tensor:
        """m as at inference: stage 2 changes neither weights nor batch statistics of IE-Net."""
        self.impress.eval()
        m: Tensor = self.impress(images)
        return m.float()

    def reestimate_statistics(self, batches: Batches) -> None:
        """After stage 1: IE-Net's batch statistics over all training images."""
        reestimate_batch_norms(self.impress, self.impress, batches)

    @torch.no_grad()
    def fill_bank(self, batches: Batches) -> None:
        """After stage 2: the bank of codes, and the moments of both scores over the training images."""
        config = self.config
        self.eval()
        codes = torch.cat([self.inform(self.impress.encoder(images))[0] for images in batches()])
        sample = torch.randperm(len(codes))[: config.bank_items].to(codes.device)
        self.bank[: len(sample)] = codes[sample]
        moments, k = RunningMoments(), config.neighbours
        for images in batches():
            generated = self.generate(images)
            by_map = self.blur(self.error_map(images, generated)[:, None]).amax(dim=(1, 2, 3))
            by_code = self.neighbour_distance(generated.code, k + 1) * (k + 1) / k  # without the distance 0 to itself
            moments.update(torch.stack([by_map, by_code], dim=1))
        self.usual.copy_(moments.mean)
        self.usual_spread.copy_(moments.std().clamp_min(SMALLEST_DEVIATION))


def player(
    name: str, modules: list[nn.Module], rate: float, loss: Any, betas: tuple[float, float] = (0.9, 0.999)
) -> Player:
    """A player with Adam and the released configuration's weight decay.

    Args:
        name: in the log and the checkpoint.
        modules: what it trains.
        rate: Adam's highest learning rate.
        loss: batch -> weighted terms by name.
        betas: Adam's.
    """

    def adam(parameters: list[nn.Parameter]) -> Optimizer:
        return torch.optim.Adam(parameters, lr=rate, betas=betas, weight_decay=1e-4, fused=True)

    return Player(name, list(chain.from_iterable(module.parameters() for module in modules)), adam, loss)
