"""The networks in ONNX Runtime: starts in a fraction of torch's time.

The graphs lie next to the weight file, without weights: `hzc train export` writes them. The weights
have one home, the weight file, and are handed to the session under their own names.
"""

from __future__ import annotations

import ctypes
import os
from functools import cached_property
from weakref import WeakSet

import numpy as np
import onnxruntime

from hzc.blocks import FloatArray
from hzc.errors import WeightsError
from hzc.model.dsp import Spectra
from hzc.model.file import Model

PROVIDERS = ["CPUExecutionProvider"]
_open_sessions: WeakSet[onnxruntime.InferenceSession] = WeakSet()


def _keep_sessions() -> None:
    """Keep every session for good: ending one waits for its threads, which a fork does not have."""
    for session in _open_sessions:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
    _open_sessions.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_sessions)


class OnnxBackend:
    """Runs the networks on the processor; each is loaded when it is first needed."""

    def __init__(self, model: Model) -> None:
        """Use an open weight file."""
        self._model, self._process = model, os.getpid()

    def analysis(self, features: FloatArray) -> FloatArray:
        """See `Backend`."""
        self._check_fork()
        (y,) = self._analysis.run(None, {"features": np.ascontiguousarray(features)})
        return np.asarray(y, dtype=np.float32)

    def synthesis(self, y_hat: FloatArray, step_index: int) -> Spectra:
        """See `Backend`."""
        self._check_fork()
        indexes = np.full(len(y_hat), step_index, dtype=np.float32)
        inputs = {"y_hat": np.ascontiguousarray(y_hat), "step_index": indexes}
        return Spectra(*(np.asarray(part) for part in self._synthesis.run(None, inputs)))

    def _check_fork(self) -> None:
        """Open the sessions again in a forked child: the threads of its parent are not there."""
        if os.getpid() != self._process:
            self._process = os.getpid()
            for name in ("_analysis", "_synthesis"):
                vars(self).pop(name, None)

    @cached_property
    def _analysis(self) -> onnxruntime.InferenceSession:
        return self._session("analysis")

    @cached_property
    def _synthesis(self) -> onnxruntime.InferenceSession:
        return self._session("synthesis")

    def _session(self, part: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0") or 0)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        arrays = self._model.arrays(f"{part}.")
        values = [
            onnxruntime.OrtValue.ortvalue_from_numpy(array.astype(np.float32))
            for array in arrays.values()
        ]
        options.add_external_initializers(list(arrays), values)
        graph = self._model.graph_path(part)
        try:
            session = onnxruntime.InferenceSession(graph.read_bytes(), options, PROVIDERS)
        except Exception as error:  # ONNX Runtime raises classes of its own
            raise WeightsError(
                f"the weights do not fit the graph {graph.name} ({str(error).splitlines()[0]})",
                path=self._model.path,
                hint="reinstall hzc, or use the back end torch",
            ) from error
        _open_sessions.add(session)
        return session
