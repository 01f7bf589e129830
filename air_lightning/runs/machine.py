"""The machine that this process runs on, in words."""

import os
import platform
from functools import cache
from pathlib import Path

import torch

CPUS = Path("/proc/cpuinfo")


@cache  # a command line asks once for each of its parsers
def describe() -> str:
    """Operating system, processor, number of threads and CUDA devices, Python; nothing that names the machine itself.

    CUDA is not initialised by it, so that processes may still be forked.
    """
    parts = [f"{platform.system()} {platform.machine()}", f"{_processor()} ({os.cpu_count()} threads)"]
    devices = torch.cuda.device_count()
    parts += [f"{devices} CUDA device{'s' * (devices > 1)}"] if devices else []
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def _processor() -> str:
    """Its model, where the system tells it."""
    lines = CPUS.read_text().splitlines() if CPUS.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models and models[0] else platform.processor() or "processor unknown"
