"""Reading the weights of an old (before 1.6) PyTorch checkpoint without PyTorch, and without running code of it."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from animacy.core.errors import ModelError

_TYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}


class _Storage:
    def __init__(self, type_name: str, length: int) -> None:
        self.data: NDArray[Any] = np.zeros(length, _TYPES[type_name])


_Shape = tuple[int, ...]


def _rebuild(storage: _Storage, offset: int, size: _Shape, stride: _Shape, *_: Any) -> tuple[Any, ...]:
    return storage, offset, size, stride


class _Unpickler(pickle.Unpickler):
    """Knows the few names that a dictionary of tensors needs, and refuses every other."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _TYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")

    def persistent_load(self, pid: Any) -> _Storage:
        _, type_name, key, _, length, *_ = pid
        return self.storages.setdefault(key, _Storage(type_name, length))


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a checkpoint by name. Raises ModelError when it is none, or of the newer (zip) kind."""
    try:
        with path.open("rb") as file:
            for _ in range(3):  # magic number, protocol, sizes of the machine that wrote it
                _Unpickler(file).load()
            reader = _Unpickler(file)
            tensors = reader.load()
            for key in _Unpickler(file).load():
                storage = reader.storages[key]
                length = int(np.frombuffer(file.read(8), "<i8")[0])
                raw = file.read(length * storage.data.itemsize)
                storage.data = np.frombuffer(raw, storage.data.dtype.newbyteorder("<"), length)
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, pickle.UnpicklingError) as error:
        raise ModelError(f"cannot read the weights {path}: {error}", "run `animacy doctor --fetch`") from error
    return {
        name: np.lib.stride_tricks.as_strided(
            storage.data[offset:], size, tuple(step * storage.data.itemsize for step in stride), writeable=False
        )
        for name, (storage, offset, size, stride) in tensors.items()
    }
