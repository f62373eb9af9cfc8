"""The weight file: the prior's arrays and numbers (sections 6.1 to 6.3)."""

import json
from binascii import crc_hqx
from dataclasses import dataclass

import numpy as np

DTYPES = {"w1": "<i2", "b1": "<i4", "w2": "<i2", "b2": "<i4", "w3": "<i2", "b3": "<i4"}
DTYPES["tables"] = "<u2"


@dataclass(frozen=True)
class Weights:
    """What one weight file says about symbols."""

    model_id: int
    n_latent: int
    shifts: tuple[int, ...]
    arrays: dict[str, np.ndarray]

    def fingerprint(self) -> int:
        """Return the model's fingerprint (section 6.3)."""
        register = 0xFFFF
        for name, dtype in DTYPES.items():
            if name == "tables":
                register = crc_hqx(bytes(self.shifts), register)
            big_endian = self.arrays[name].astype(dtype.replace("<", ">"))
            register = crc_hqx(big_endian.tobytes(), register)
        return register


def read_weights(data: bytes) -> Weights:
    """Read a weight file (section 6.1)."""
    length = int.from_bytes(data[:8], "little")
    description = json.loads(data[8 : 8 + length].decode("utf-8"))
    metadata = json.loads(description["__metadata__"]["hzc"])
    arrays = {}
    for name, dtype in DTYPES.items():
        entry = description[f"prior.{name}"]
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        arrays[name] = np.frombuffer(data[begin:end], dtype).reshape(entry["shape"])
    n_latent = metadata["config"]["n_latent"]
    return Weights(metadata["model_id"], n_latent, tuple(metadata["prior_shifts"]), arrays)
