"""MNIST, whole: 60,000 training and 10,000 test digits of 28 x 28 pixels, shipped inside the package.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", CC BY-SA 3.0; see
`mnist_idx/NOTICE.md`. The original order is kept.
"""

from __future__ import annotations

from importlib import resources

from triptych.data.sources import Raw, idx
from triptych.errors import InputError
from triptych.spec import DataSpec


def load(spec: DataSpec) -> Raw:
    """MNIST from the package's own files; raises InputError when a path is given, which would do nothing."""
    if spec.path is not None:
        raise InputError(
            "mnist comes with the package and takes no path",
            where="data.path",
            value=spec.path,
            hint='For files of your own: source = "idx".',
        )
    with resources.as_file(resources.files("triptych.data.sources") / "mnist_idx") as folder:
        return idx.read_folder(folder)
