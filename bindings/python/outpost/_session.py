"""Session and what goes with it."""
import os
from typing import NamedTuple, Optional, Tuple, Union

from outpost import _native
from outpost._arrays import to_native, to_numpy


class Value(NamedTuple):
    """An input or output as the model declares it."""
    name: str
    kind: str                                         # "tensor", "sequence", "optional", "map", …
    dtype: Optional[str]                              # "f32"
    shape: Optional[Tuple[Union[int, str, None], ...]]  # a size, a symbol or None for each dimension; None: any rank
    type: str                                         # all of it: "f32[batch,3,224,224]"


class Session:
    """A model made ready to run.

    `model` is a path or the bytes of an ONNX file. `threads` 0 takes every hardware thread; `precision` "bf16" rounds the
    factors of matrix products where that is faster; `memory_limit` (bytes) bounds a run; `seed` starts the random numbers;
    `passes_off` names optimisations to leave out.
    """

    def __init__(self, model, *, threads=0, precision="f32", memory_limit=0, seed=0, passes_off=(), external_data_root=""):
        if isinstance(model, (bytes, bytearray, memoryview)):
            self._model = _native.Model.from_bytes(bytes(model))
        else:
            self._model = _native.Model.load(os.fspath(model), os.fspath(external_data_root))
        self._session = _native.Session(self._model, threads, precision, memory_limit, seed, list(passes_off))
        self.inputs = [Value(*v) for v in self._model._inputs]
        self.outputs = [Value(*v) for v in self._model._outputs]
        self._dtypes = {v.name: v.dtype for v in self.inputs if v.kind == "tensor"}

    name = property(lambda self: self._model.name)
    metadata = property(lambda self: self._model.metadata)
    opsets = property(lambda self: self._model.opsets)
    parameters = property(lambda self: self._model.parameters)
    threads = property(lambda self: self._session.threads)

    def __call__(self, *positional, **named):
        """Runs on inputs by name, or by position in the model's order. Returns {name: array}."""
        if len(positional) > len(self.inputs):
            raise TypeError(f"{len(positional)} inputs given, the model has {len(self.inputs)}")
        if positional:
            twice = [v.name for v in self.inputs[:len(positional)] if v.name in named]
            if twice:
                raise TypeError(f"input {twice[0]!r} is given by position and by name")
            named = {**{v.name: x for v, x in zip(self.inputs, positional)}, **named}
        return self.run(named)

    def run(self, inputs, outputs=None, *, state=None, timeout=0.0, memory_limit=0, threads=0, as_tensors=False):
        """Runs once. `outputs` maps names to arrays that results are written into; `timeout` is in seconds; `as_tensors`
        returns outpost.Tensor (with DLPack) instead of numpy arrays."""
        native = {name: to_native(value, self._dtypes.get(name)) for name, value in inputs.items()}
        bound = {name: to_native(value, writable=True) for name, value in (outputs or {}).items()}
        results = self._session.run(native, bound, state, timeout, memory_limit, threads)
        if as_tensors:
            return results
        return {name: outputs[name] if outputs and name in outputs else to_numpy(value) for name, value in results.items()}

    def bind(self, inputs, outputs=None):
        """Arguments laid ready for many runs: call the result. Arrays are used where they lie, so change their contents."""
        return Bound(self, inputs, outputs or {})

    def new_state(self, seed=None):
        """What the model keeps between runs, from the beginning."""
        return self._session.new_state(seed)

    def reset(self):
        """Puts the session's own state back to the beginning."""
        self._session.reset()

    def plan(self, **shapes):
        """Memory and work of a run for inputs of these shapes: a dict."""
        return self._session.plan([list(shapes[v.name]) for v in self.inputs])

    def __repr__(self):
        def sides(values):
            return ", ".join(f"{v.name}: {v.type}" for v in values)
        return f"<outpost.Session {self.name!r} ({sides(self.inputs)}) -> ({sides(self.outputs)})>"


class Bound:
    """See Session.bind()."""

    def __init__(self, session, inputs, outputs):
        self._binding = _native.Binding(session._session)
        self._names = [v.name for v in session.outputs]
        self._outputs = outputs
        for name, value in inputs.items():
            self._binding.input(name, to_native(value, session._dtypes.get(name)))
        for name, value in outputs.items():
            self._binding.output(name, to_native(value, writable=True))

    def __call__(self, state=None):
        self._binding.run(state)
        return {n: self._outputs[n] if n in self._outputs else to_numpy(self._binding.result(n)) for n in self._names}
