"""MCOD: outliers by their distance in feature space from the read of a memory of ten prototypes.

Source: Huyan et al., "Unsupervised Outlier Detection Using Memory and Contrastive Learning", IEEE TIP 2022, and the
authors' released code, whose constants are preset `official`.

    x  -> E   -> maps -> mean: f, contrast: e, slots: w        f_hat = softmax(w) M
    x' -> E_K -> f', e', w' (E_K: momentum copy of E)  -> queue   x' a random view of x
    L = L_con(e, e', queue) + L_clu(columns of w, w') + L_reg(w) + L_read(f, f_hat, after the warm-up)
    after every step: M <- rows of softmax(W_queue)^T F_queue, of unit length; noise erases slots that are hardly used
    A(x) = |f - f_hat|^2; in our stable form |V (f - f_hat - b)|^2, with mean b and whitening V of the training images
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
from daad.models.mcod.momentum_encoder import momentum_copy, update_momentum
from daad.models.mcod.slot_memory import KeyQueue, SlotMemory
from daad.models.mcod.whitening import Whitening
from daad.nn.convs import reestimate_batch_norms
from daad.nn.losses import info_nce, nt_xent
from daad.presets import Preset
from daad.stages import Batches, ModelConfig, Player, Size, Stage, TrainedConfig

STEM: Mapping[Size, int] = {"nano": 8, "small": 16, "paper": 16}
WIDTHS: Mapping[Size, tuple[int, int, int]] = {"nano": (8, 8, 16), "small": (16, 32, 64), "paper": (64, 128, 256)}
EMBEDDING: Mapping[Size, int] = {"nano": 16, "small": 32, "paper": 128}
QUEUE: Mapping[Size, int] = {"nano": 64, "small": 512, "paper": 4096}
PAPER: Mapping[str, Any] = {"size": "paper", "epochs": 200, "batch_size": 256, "learning_rate": 1e-4}
# The released constants and their effects: L_con is nearly constant (cosines divided by 10), the erasing noise exceeds
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
SHORT_TRAINING = 2000  # steps, below which a momentum of 0.999 would leave E_K near its start
FAR = 1e6  # unused rows of the bank: never among the nearest neighbours of a feature of unit length
SAME_IMAGE = 1e-4  # share of a feature's length: nearer features are those of the same image in another batch


class MCODConfig(TrainedConfig):
    """Settings of MCOD. Defaults are our stable form; preset `official` has the released code's constants."""

    batch_size: int = Field(64, ge=2, le=4096, description="images a training step")
    memory_slots: int = Field(10, ge=2, le=1000, description="K, prototypes in the memory")
    queue_length: int | None = Field(None, ge=2, le=1_000_000, description="keys kept; None: from size")
    warmup: float = Field(0.5, ge=0, le=1, description="share of the steps before the memory is written and read")
    temperature_contrast: float = Field(0.2, gt=0, description="tau_f of L_con")
    temperature_slots: float = Field(0.5, gt=0, description="tau_w of L_clu")
    balance: float = Field(0.05, ge=0, description="weight of L_reg, which evens out the use of the slots")
    momentum: float | None = Field(None, ge=0, le=1, description="of E_K; None: .99, from 2,000 steps on .999")
    weight_decay: float = Field(5e-4, ge=0, description="Adam's weight decay")
    smallest_crop: float = Field(0.5, gt=0, le=1, description="smallest share of the area that a key view shows")
    flip: bool = Field(True, description="mirror every other key view")
    unit_features: bool = Field(True, description="features f of unit length, as the memory's items are")
    read_loss: Literal["mean", "sum"] = Field("mean", description="L_read over the batch")
    erase_std: float = Field(0.1, ge=0, description="noise of a slot, in units of 1 - its share of the queue")
    batch_statistics: bool = Field(False, description="batch norm by the statistics of the batch at inference too")
    settle: bool = Field(True, description="write the memory once more, from all training images, at the end")
    use_memory: bool = Field(True, description="train with L_read; off, the memory is only written at the end")
    use_contrast: bool = Field(True, description="train with L_con")
    standardise: bool = Field(
        True, description="Mahalanobis distances, by the covariance of the training images, instead of Euclidean ones"
    )
    support_fraction: float = Field(
        1.0,
        ge=0.5,
        le=1,
        description="share of the training images, the least anomalous, that mean and covariance are fitted to",
    )
    score: Literal["memory", "neighbours"] = Field(
        "memory", description="distance from the memory's read, or mean distance from the nearest training images"
    )
    neighbours: int = Field(5, ge=1, le=1000, description="k of score neighbours")
    bank_items: int = Field(1000, ge=1, le=100_000, description="random training images kept for score neighbours")

    @property
    def feature_width(self) -> int:
        """D of f."""
        return WIDTHS[self.size][-1]


class MCOD(AnomalyModel):
    """See the module's docstring; image score 0 or more.

    With `standardise` it is about 1 for the training images, less where they are few. Else it is in squared feature
    units.

    The paper has no map. Ours is every position's share of the score: (f - r) . (g - r), with f the mean of maps g and
    r the reference, such as f_hat. Its mean over the positions is |f - r|^2.

    With score "neighbours" the score is the mean of |f - r| over the nearest training images r. A share is divided by
    its |f - r|. An image of the bank is not its own neighbour: the first r within rounding of f is left out. So the
    training images themselves can be ranked.
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
        self.keys = momentum_copy(self.encoder)  # E_K
        self.queue = KeyQueue(config.queue_length or QUEUE[config.size], width, embedding, slots)
        self.memory = SlotMemory(slots, width)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))  # steps done, for the warm-up
        self.spread = Whitening(width) if config.standardise else None
        if config.score == "neighbours":
            self.register_buffer("bank", torch.full((config.bank_items, width), FAR))

    def forward(self, images: Tensor) -> Output:
        encoded: Encoded = self.encoder(images)
        references = self.references(encoded)  # r
        feature = self.whiten(encoded.feature[:, None] - references)  # V (f - r), (B, R, D)
        first = references[:, :1]  # subtracted before V scales the rows up, so that rounding stays small
        maps = self.whiten(encoded.maps.flatten(2).transpose(1, 2) - first)  # (B, h w, D)
        shares = feature @ maps.transpose(1, 2) - (feature * self.whiten(references - first)).sum(dim=2, keepdim=True)
        distances = feature.square().sum(dim=2)  # (B, R)
        if self.config.score == "neighbours":
            distances = distances.sqrt()
            shares = shares / distances.clamp_min(1e-12)[:, :, None]
        share_map = shares.mean(dim=1)[:, None].reshape(-1, 1, *encoded.maps.shape[-2:])
        anomaly_map = F.interpolate(share_map, images.shape[-2:], mode="bilinear", align_corners=False)
        return Output(distances.mean(dim=1), anomaly_map[:, 0], None)

    def unseen_scores(self, scores: Tensor) -> Tensor:
        """Leave-one-out scores (N,) of all training images; only whitened distances from the memory's read change."""
        return scores if self.spread is None or self.config.score == "neighbours" else self.spread.leave_one_out(scores)

    def whiten(self, rows: Tensor) -> Tensor:
        """V times rows (..., D) with `standardise`, else the rows themselves."""
        return rows if self.spread is None else self.spread(rows)

    def references(self, encoded: Encoded) -> Tensor:
        """r (B, R, D): f_hat + b, or the nearest training images other than the image itself."""
        if self.config.score == "memory":
            read = self.memory.read(encoded.logits)  # f_hat
            return (read if self.spread is None else read + self.spread.bias)[:, None]
        count, mean = self.config.neighbours, 0 if self.spread is None else self.spread.bias
        bank = self.whiten(self.bank - mean)
        feature = self.whiten(encoded.feature - mean)
        squared = bank.square().sum(dim=1) - 2 * feature @ bank.T  # squared distances less |f|^2; cdist has no export
        rows = squared.topk(count + 1, largest=False).indices
        nearest = self.bank[rows]  # (B, R + 1, D)
        limit = SAME_IMAGE * encoded.feature.norm(dim=1, keepdim=True)
        is_same = (nearest[:, :1] - encoded.feature[:, None]).norm(dim=2) < limit
        return torch.where(is_same[:, :, None], nearest[:, 1:], nearest[:, :count])

    def stages(self, images: int) -> list[Stage]:
        config = self.config
        check_image_count(config, images)
        steps = config.training_steps(images)
        momentum = config.momentum if config.momentum is not None else (0.99 if steps < SHORT_TRAINING else 0.999)
        state = StepState(key_views(config, self.seen.device), round(config.warmup * steps), momentum)
        player = Player("encoder", list(self.encoder.parameters()), partial(adam, config), partial(self.loss, state))
        update = partial(self.update_memory, state)
        return [Stage("contrast", [player], steps, config.batch_size, after_step=update, end=self.finalise)]

    def loss(self, state: StepState, images: Tensor) -> dict[str, Tensor]:
        """The four terms of L; the queue does not hold the keys of this batch yet."""
        config = self.config
        queries: Encoded = self.encoder(images)
        with torch.no_grad():
            state.keys = keys = self.keys(state.views(images))
        _, embeddings, _ = self.queue.contents()
        columns, key_columns = (F.normalize(encoded.logits, dim=0).T for encoded in (queries, keys))  # (K, B)
        slot_use = columns.sum(dim=1)
        terms = {
            "slots": nt_xent(columns, key_columns, config.temperature_slots),
            "balance": config.balance / len(images) * slot_use.square().sum(),
        }
        if config.use_contrast:
            terms["contrast"] = info_nce(queries.embedding, keys.embedding, embeddings, config.temperature_contrast)
        if config.use_memory and self.warmed_up(state):
            squared_error = (queries.feature - self.memory.read(queries.logits)).square()
            terms["read"] = squared_error.sum(dim=1).mean() if config.read_loss == "mean" else squared_error.sum()
        return terms

    def warmed_up(self, state: StepState) -> bool:
        """Whether the warm-up is over."""
        return int(self.seen) >= state.warmup_steps

    @torch.no_grad()
    def update_memory(self, state: StepState, images: Tensor) -> None:
        """After a step: push the keys into the queue, write the memory from it, update E_K."""
        assert state.keys is not None
        self.queue.push(state.keys.feature, state.keys.embedding, state.keys.logits)
        state.keys = None
        self.seen.add_(1)
        if self.config.use_memory and self.warmed_up(state):
            features, _, logits = self.queue.contents()
            self.memory.write(features, logits)
            self.memory.erase(logits, self.config.erase_std)
        update_momentum(self.keys, self.encoder, state.momentum)

    def encode_all(self, batches: Batches) -> tuple[Tensor, Tensor]:
        """f (N, D) and w (N, K) of all training images, without the maps, which need too much memory."""
        features, logits = [], []
        for images in batches():
            encoded: Encoded = self.encoder(images)
            features.append(encoded.feature)
            logits.append(encoded.logits)
        return torch.cat(features), torch.cat(logits)

    @torch.no_grad()
    def finalise(self, batches: Batches) -> None:
        """Batch statistics, memory, bank and whitening from all training images; the queue is cleared."""
        config = self.config
        if not config.batch_statistics:
            reestimate_batch_norms(self.encoder, self.encoder, batches)
        features, logits = self.encode_all(batches)
        if config.settle or not config.use_memory:
            self.memory.write(features, logits)
        if config.score == "neighbours":
            sample = torch.randperm(len(features))[: config.bank_items]
            self.bank[: len(sample)] = features[sample.to(features.device)]
        if self.spread is not None:
            rows = features if config.score == "neighbours" else features - self.memory.read(logits)
            self.spread.fit(rows, config.support_fraction)
        self.queue.clear()


@dataclass
class StepState:
    """State that `loss` and `update_memory` share; `keys` are those of the current batch."""

    views: nn.Module
    warmup_steps: int
    momentum: float
    keys: Encoded | None = None


def key_views(config: MCODConfig, device: torch.device) -> nn.Module:
    """The augmentation x -> x'."""
    from daad.nn.weak_augmentations import RandomViews  # kornia is needed for training alone

    return RandomViews(config.height, config.width, config.smallest_crop, config.flip, blur=True).to(device)


def check_image_count(config: MCODConfig, images: int) -> None:
    """ConfigError for fewer images than memory slots, or too few for the neighbours."""
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
