"""MNIST files of a few invented digits, for tests of what needs MultiMNIST and no particular digits."""

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules import mnist_files


def write(root: Path) -> Path:
    """MNIST's four files in ``root/mnist``: digit d is a box 3 + d pixels wide, 60 to train on and 30 to test on."""
    folder = root / "mnist"
    folder.mkdir(parents=True)
    images, labels = zip(*(_digits(n) for n in (60, 30)))
    contents = images[0], labels[0], images[1], labels[1]
    for file, values in zip(mnist_files.SOURCE.files, contents):
        head = struct.pack(f">{1 + values.ndim}I", 2048 + values.ndim, *values.shape)
        (folder / file).write_bytes(gzip.compress(head + values.tobytes(), 1, mtime=0))
    return root


def _digits(n: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    labels = np.arange(n, dtype=np.uint8) % 10
    images = np.zeros((n, 28, 28), np.uint8)
    for image, digit in zip(images, labels):
        image[4:24, 8 : 11 + digit] = 255
    return images, labels
