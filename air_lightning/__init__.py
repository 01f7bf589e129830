"""AIR (Attend, Infer, Repeat) in PyTorch Lightning, with renderers as plug-ins."""

__version__ = "0.1.0"
