"""MCOD: outliers by their distance, in feature space, from what a memory of ten prototypes gives back.

Source: Huyan et al., "Unsupervised Outlier Detection Using Memory and Contrastive Learning", IEEE TIP 2022, and the
authors' released code, whose constants are preset `official`.

    x  -> E   -> maps -> mean: f, contrast: e, slots: w        f_hat = softmax(w) M
    x' -> E_K -> f', e', w' (E_K follows E slowly)  -> queue   x' a random view of x
    L = L_con(e, e', queue) + L_clu(columns of w, w') + L_reg(w) + L_read(f, f_hat, after the warm-up)
    after each step: M <- rows of softmax(W_queue)^T F_queue, of unit length; slots hardly used are erased by noise
    A(x) = |f - f_hat|^2; in our stable form |V (f - f_hat - b)|^2, V and b of the training images' f - f_hat
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from daad.errors import ConfigError
from daad.models.base import AnomalyModel, Output
from daad.models.mcod.encoder import Encoded, Encoder
from daad.models.mcod.momentum_encoder import follow, shadow_of
from daad.models.mcod.slot_memory import KeyQueue, SlotMemory
from daad.models.mcod.whitening import Spread
from daad.nn.convs import reestimate_batch_norms
from daad.nn.losses import info_nce, nt_xent
from daad.presets import Preset
from daad.stages import Batches, ModelConfig, Player, Size, Stage, TrainedConfig

STEM: Mapping[Size, int] = {"nano": 8, "small": 16, "paper": 16}
WIDTHS: Mapping[Size, tuple[int, int, int]] = {"nano": (8, 8, 16), "small": (16, 32, 64), "paper": (64, 128, 256)}
EMBEDDING: Mapping[Size, int] = {"nano": 16, "small": 32, "paper": 128}
QUEUE: Mapping[Size, int] = {"nano": 64, "small": 512, "paper": 4096}
PAPER: Mapping[str, Any] = {"size": "paper", "epochs": 200, "batch_size": 256, "learning_rate": 1e-4}
# The released constants, with what they bring: L_con is inert (cosines over 10 are all alike), the erasing noise drowns
# the memory (std .9 an element on unit rows), the read loss grows with the batch, scores depend on the batch.
OFFICIAL: Mapping[str, Any] = {
    "temperature_contrast": 10.0,
    "temperature_slots": 0.01,
    "momentum": 0.999,
    "smallest_crop": 0.2,
    "unit_features": False,
    "read_loss": "sum",
    "erase_std": 1.0,
    "batch_statistics": True,
    "settle": False,
    "standardise": False,
}
SHORT = 2000  # steps, below which a momentum of 0.999 would leave E_K where it began
NOWHERE = 1e6  # where the free places of the bank lie: farther from any feature of unit length than another
SAME = 1e-4  # of the length of a feature: two that are nearer are the same image, seen in another batch


class MCODConfig(TrainedConfig):
    """Settings of MCOD. Defaults are our stable form; preset `official` has the released code's constants."""

    batch_size: int = Field(64, ge=2, le=4096, description="images a training step")
    memory_slots: int = Field(10, ge=2, le=1000, description="K, prototypes in the memory")
    queue_length: int | None = Field(None, ge=2, le=1_000_000, description="keys kept; None: from size")
    warmup: float = Field(0.5, ge=0, le=1, description="share of the steps before the memory is written and read")
    temperature_contrast: float = Field(0.2, gt=0, description="tau_f of L_con")
    temperature_slots: float = Field(0.5, gt=0, description="tau_w of L_clu")
    balance: float = Field(0.05, ge=0, description="weight of L_reg, which keeps the slots in use alike")
    momentum: float | None = Field(None, ge=0, le=1, description="of E_K; None: .99, from 2,000 steps on .999")
    weight_decay: float = Field(5e-4, ge=0, description="Adam's weight decay")
    smallest_crop: float = Field(0.5, gt=0, le=1, description="smallest share of the area that a key view shows")
    flip: bool = Field(True, description="mirror every other key view")
    unit_features: bool = Field(True, description="features f of unit length, as the memory's items are")
    read_loss: Literal["mean", "sum"] = Field("mean", description="L_read over the batch")
    erase_std: float = Field(0.1, ge=0, description="noise of an unused slot, in units of 1 - its share of the queue")
    batch_statistics: bool = Field(False, description="batch norm by the batch in hand, when scoring too")
    settle: bool = Field(True, description="write the memory once more, from all training images, at the end")
    use_memory: bool = Field(True, description="train with L_read; off, the memory is only written at the end")
    use_contrast: bool = Field(True, description="train with L_con")
    standardise: bool = Field(
        True, description="distances in units of the training images' spread, direction by direction (Mahalanobis)"
    )
    support_fraction: float = Field(
        1.0,
        ge=0.5,
        le=1,
        description="share of the training images, the least odd, that the spread is learnt from",
    )
    score: Literal["memory", "neighbours"] = Field(
        "memory", description="distance from what the memory gives back, or mean distance from nearest training images"
    )
    neighbours: int = Field(5, ge=1, le=1000, description="k of score neighbours")
    bank_items: int = Field(1000, ge=1, le=100_000, description="training images kept, by chance, for score neighbours")

    @property
    def feature_width(self) -> int:
        """D of f."""
        return WIDTHS[self.size][-1]


class MCOD(AnomalyModel):
    """See the module's docstring; image score 0 or more, higher is more anomalous: with `standardise` about 1 for the
    training images, less where they are few, else in feature units squared.

    The paper has no map. Ours gives every place its share of the score: with f the mean of maps g and r what f is
    measured against, (f - r) . (g - r), whose mean over the places is |f - r|^2.

    With score "neighbours" it is the mean of |f - r| over the nearest training images r, and a share is divided by its
    |f - r|. An image of the bank is not its own neighbour: the first r within rounding of f is passed over, so that a
    pool can be ranked by what was learnt from it.
    """

    Config: ClassVar[type[ModelConfig]] = MCODConfig
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(32, {**PAPER, "smallest_crop": 0.2}),
        "small": Preset(32, {"size": "small", "steps": 600}),
        "official": Preset(32, {**PAPER, **OFFICIAL}),
    }
    config: MCODConfig
    bank: Tensor
    seen: Tensor

    def __init__(self, config: MCODConfig) -> None:
        super().__init__(config)
        width, slots = config.feature_width, config.memory_slots
        embedding = EMBEDDING[config.size]
        self.encoder = Encoder(
            config.channels,
            STEM[config.size],
            WIDTHS[config.size],
            embedding,
            slots,
            unit_features=config.unit_features,
            batch_statistics=config.batch_statistics,
        )
        self.keys = shadow_of(self.encoder)
        self.queue = KeyQueue(config.queue_length or QUEUE[config.size], width, embedding, slots)
        self.memory = SlotMemory(slots, width)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))  # steps done, for the warm-up
        self.spread = Spread(width) if config.standardise else None
        if config.score == "neighbours":
            self.register_buffer("bank", torch.full((config.bank_items, width), NOWHERE))

    def forward(self, images: Tensor) -> Output:
        found: Encoded = self.encoder(images)
        against = self.references(found)
        feature = self.measured(found.feature[:, None] - against)  # (B, R, D)
        first = against[:, :1]  # taken off before V enlarges what is left, so that rounding stays small
        maps = self.measured(found.maps.flatten(2).transpose(1, 2) - first)  # (B, h w, D)
        shares = feature @ maps.transpose(1, 2) - (feature * self.measured(against - first)).sum(dim=2, keepdim=True)
        apart = feature.square().sum(dim=2)  # (B, R)
        if self.config.score == "neighbours":
            apart = apart.sqrt()
            shares = shares / apart.clamp_min(1e-12)[:, :, None]
        places = shares.mean(dim=1)[:, None].reshape(-1, 1, *found.maps.shape[-2:])
        whole = F.interpolate(places, images.shape[-2:], mode="bilinear", align_corners=False)
        return Output(apart.mean(dim=1), whole[:, 0], None)

    def unseen_scores(self, scores: Tensor) -> Tensor:
        """The scores (N,) of all training images, each as if it had not been learnt from; of the memory's distances."""
        return scores if self.spread is None or self.config.score == "neighbours" else self.spread.unseen(scores)

    def measured(self, rows: Tensor) -> Tensor:
        """Rows (..., D) in the units of the score."""
        return rows if self.spread is None else self.spread(rows)

    def references(self, found: Encoded) -> Tensor:
        """What f is measured against, (B, R, D): f_hat with its bias, or the nearest training images but f's own."""
        if self.config.score == "memory":
            read = self.memory.read(found.logits)
            return (read if self.spread is None else read + self.spread.bias)[:, None]
        count, middle = self.config.neighbours, 0 if self.spread is None else self.spread.bias
        bank = self.measured(self.bank - middle)
        feature = self.measured(found.feature - middle)
        squares = bank.square().sum(dim=1) - 2 * feature @ bank.T  # but for |f|^2; cdist has no export
        rows = squares.topk(count + 1, largest=False).indices
        nearest = self.bank[rows]  # (B, R + 1, D)
        own = (nearest[:, :1] - found.feature[:, None]).norm(dim=2) < SAME * found.feature.norm(dim=1, keepdim=True)
        return torch.where(own[:, :, None], nearest[:, 1:], nearest[:, :count])

    def stages(self, images: int) -> list[Stage]:
        config = self.config
        check_pool(config, images)
        steps = config.training_steps(images)
        momentum = config.momentum if config.momentum is not None else (0.99 if steps < SHORT else 0.999)
        step = Step(key_views(config, self.seen.device), round(config.warmup * steps), momentum)
        player = Player("encoder", list(self.encoder.parameters()), partial(adam, config), partial(self.loss, step))
        remember = partial(self.remember, step)
        return [Stage("contrast", [player], steps, config.batch_size, after_step=remember, end=self.finish)]

    def loss(self, step: Step, images: Tensor) -> dict[str, Tensor]:
        """The four terms; the queue is used as it was before this batch."""
        config = self.config
        queries: Encoded = self.encoder(images)
        with torch.no_grad():
            step.keys = keys = self.keys(step.views(images))
        _, embeddings, _ = self.queue.held()
        columns, key_columns = (F.normalize(encoded.logits, dim=0).T for encoded in (queries, keys))  # (K, B)
        used = columns.sum(dim=1)
        terms = {
            "slots": nt_xent(columns, key_columns, config.temperature_slots),
            "balance": config.balance / len(images) * used.square().sum(),
        }
        if config.use_contrast:
            terms["contrast"] = info_nce(queries.embedding, keys.embedding, embeddings, config.temperature_contrast)
        if config.use_memory and self.remembers(step):
            apart = (queries.feature - self.memory.read(queries.logits)).square()
            terms["read"] = apart.sum(dim=1).mean() if config.read_loss == "mean" else apart.sum()
        return terms

    def remembers(self, step: Step) -> bool:
        """Whether the warm-up is over."""
        return int(self.seen) >= step.warmup_steps

    @torch.no_grad()
    def remember(self, step: Step, images: Tensor) -> None:
        """After a step: keys into the queue, the memory from the queue, E_K after E."""
        assert step.keys is not None
        self.queue.push(step.keys.feature, step.keys.embedding, step.keys.logits)
        step.keys = None
        self.seen.add_(1)
        if self.config.use_memory and self.remembers(step):
            features, _, logits = self.queue.held()
            self.memory.write(features, logits)
            self.memory.erase(logits, self.config.erase_std)
        follow(self.keys, self.encoder, step.momentum)

    def encode_all(self, batches: Batches) -> tuple[Tensor, Tensor]:
        """f (N, D) and logits (N, K) of all training images; their maps would fill the memory."""
        features, logits = [], []
        for images in batches():
            encoded: Encoded = self.encoder(images)
            features.append(encoded.feature)
            logits.append(encoded.logits)
        return torch.cat(features), torch.cat(logits)

    @torch.no_grad()
    def finish(self, batches: Batches) -> None:
        """Fix the batch statistics, write the memory and the bank from all training images, forget the queue."""
        config = self.config
        if not config.batch_statistics:
            reestimate_batch_norms(self.encoder, self.encoder, batches)
        features, logits = self.encode_all(batches)
        if config.settle or not config.use_memory:
            self.memory.write(features, logits)
        if config.score == "neighbours":
            kept = torch.randperm(len(features))[: config.bank_items]
            self.bank[: len(kept)] = features[kept.to(features.device)]
        if self.spread is not None:
            rows = features if config.score == "neighbours" else features - self.memory.read(logits)
            self.spread.fit(rows, config.support_fraction)
        self.queue.clear()


@dataclass
class Step:
    """What the loss of a step leaves for what comes after it, and what both are told."""

    views: nn.Module
    warmup_steps: int
    momentum: float
    keys: Encoded | None = None


def key_views(config: MCODConfig, device: torch.device) -> nn.Module:
    """x' of x."""
    from daad.nn.weak_augmentations import RandomViews  # kornia is needed for training alone

    return RandomViews(config.height, config.width, config.smallest_crop, config.flip, blur=True).to(device)


def check_pool(config: MCODConfig, images: int) -> None:
    """A memory needs an image a slot, and a mean of neighbours as many others as neighbours."""
    if images < config.memory_slots:
        raise ConfigError(
            f"memory_slots {config.memory_slots} is more than the {images} training images; lower it, or give more "
            "images"
        )
    if config.score != "neighbours":
        return
    if images <= config.neighbours:
        raise ConfigError(
            f"neighbours {config.neighbours} needs one training image more, found {images}; lower it, or give more "
            "images"
        )
    if config.bank_items <= config.neighbours:
        raise ConfigError(f"bank_items {config.bank_items} must be above neighbours {config.neighbours}; raise it")


def adam(config: MCODConfig, parameters: list[nn.Parameter]) -> Optimizer:
    """Adam with the paper's weight decay."""
    return torch.optim.Adam(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
