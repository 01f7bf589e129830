"""Trained models for other programs: torch.export, ONNX, and run folders of weights alone."""
