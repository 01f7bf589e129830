"""Without a GPU, Triton's kernels run in its interpreter. Read when Triton is first imported, so it is said here."""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
