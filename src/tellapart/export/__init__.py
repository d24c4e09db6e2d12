"""A trained run for other programs: Hugging Face's hub, PyTorch, ONNX and sentence-transformers.

Nothing is uploaded. Each format is written in one step, into a new folder.
"""

from tellapart.export.formats import Encoders, Export, formats

__all__ = ["Encoders", "Export", "formats"]
