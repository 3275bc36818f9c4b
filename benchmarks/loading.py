"""Measures the images per second of the loader, compared with a Pillow and torchvision pipeline.

    python benchmarks/loading.py      # one thread, CPU seconds; renders a few hundred JPEG files
    python benchmarks/loading.py --json benchmarks/results/cpu-loading.json

Both read the same files into normalised batches of 64 in this process. They decode, resize, flip,
shift by up to 10 pixels, normalise and erase with the usual probabilities. "theirs" is the
pipeline of released re-ID code: a torch DataLoader over torchvision transforms of Pillow images.
"cached" and "mapped" are our loader with the decoded and resized images in memory or in a mapped
file; the other pipeline has no such cache. Files of 128 x 64 have the size of Market-1501's
images. The larger files contain the same images, enlarged threefold.
"""

import tempfile
from pathlib import Path

import cv2
import measure
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from reid_ext import data

FILES, BATCH, ENLARGED = 512, 64, 3
SIZES = ((256, 128), (384, 128))
QUALITY = 90


class Theirs(Dataset):
    """Pillow images with torchvision transforms, as in released re-identification code."""

    def __init__(self, samples: list[data.Sample], size: tuple[int, int]):
        self.samples = samples
        self.transform = transforms.Compose(
            [
                transforms.Resize(size),
                transforms.RandomHorizontalFlip(p=0.5),
                transforms.Pad(10),
                transforms.RandomCrop(size),
                transforms.ToTensor(),
                transforms.Normalize(data.IMAGENET_MEAN, data.IMAGENET_STD),
                transforms.RandomErasing(p=0.5, scale=(0.02, 0.4), ratio=(0.3, 1 / 0.3)),
            ]
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int):
        sample = self.samples[index]
        image = Image.open(sample.path).convert("RGB")
        return self.transform(image), sample.identity, sample.camera


def enlarged(samples: list[data.Sample], folder: Path) -> list[data.Sample]:
    """Write the same images to larger files."""
    folder.mkdir()
    found = []
    for sample in samples:
        image = cv2.resize(cv2.imread(str(sample.path)), None, fx=ENLARGED, fy=ENLARGED)
        path = folder / sample.path.name
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        found.append(sample._replace(path=path))
    return found


def epoch_of(loader):
    """A function that iterates over all batches and returns the number of images."""

    def run() -> int:
        return sum(len(batch[0]) for batch in loader)

    return run


def row(samples: list[data.Sample], size: tuple[int, int], folder: Path, args) -> dict:
    def ours(cache: bool | Path):
        images = data.Images(samples, data.TrainingTransform(size), cache=cache)
        return epoch_of(data.loader(images, data.SequentialBatches(len(samples), BATCH)))

    variants = {"ours": ours(False), "cached": ours(True), "mapped": ours(folder / "pixels")}
    variants["theirs"] = epoch_of(DataLoader(Theirs(samples, size), BATCH))
    for run in variants.values():
        if run() != len(samples):
            raise ValueError("loading: every variant must read every image once")
    seconds = measure.alternately(variants, args)
    height, width = cv2.imread(str(samples[0].path)).shape[:2]
    return {
        "file": f"{height} x {width}",
        "batch": f"{BATCH} x 3 x {size[0]} x {size[1]}",
        **{f"{name} images/s": round(len(samples) / seconds[name]) for name in variants},
        "ours / theirs": seconds["theirs"] / seconds["ours"],
        "mapped / theirs": seconds["theirs"] / seconds["mapped"],
    }


def main():
    args = measure.arguments(__doc__)
    torch.manual_seed(0)
    cv2.setNumThreads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data.synthesize("market1501", folder / "people", preset="tiny")
        dataset = data.load("market1501", folder / "people")
        small = (dataset.train + dataset.gallery)[:FILES]
        kinds = [small, enlarged(small, folder / "large")]
        rows = [row(files, size, folder, args) for files in kinds for size in SIZES]
    measure.show(rows, args)


if __name__ == "__main__":
    main()
