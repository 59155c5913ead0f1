"""Fixtures of the op tests: shared by all ops_*.py.

    cases = Cases("activation")
    cases.add("silu_33", attrs={"kind": 3}, inputs=[randn(33)], function=lambda x: torch.nn.functional.silu(x))
    cases.save()

writes tests/fixtures/ops/activation.safetensors, which src/ops/check/check.c reads (the format is described in check.h).
Expected values are computed in float64 from the float32 inputs. A tensor's entry under "errors" is the relative error of
PyTorch's own float32 on it, the largest over a few slightly shifted copies of the inputs: on a single element one draw
may be exact by chance.
"""
import json
import pathlib
import zlib

import torch
from safetensors.torch import save_file

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "ops"
DRAWS = 12
SIZES = [1, 31, 33, 64, 65, 127]  # around the edges of vectors, sub-groups and work-groups

torch.set_num_threads(1)  # summation order, and so the last bits, must not depend on the machine
generator = torch.Generator()


def randn(*shape, scale=1.0, shift=0.0):
    return torch.randn(shape, generator=generator) * scale + shift


def rand(*shape, low=0.0, high=1.0):
    return low + (high - low) * torch.rand(shape, generator=generator)


def relative_error(value, reference):
    norm = reference.norm().item()
    return (value.double() - reference).norm().item() / (norm or 1.0)


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def evaluate(function, inputs, douts, wanted, dtype):
    """Outputs and the wanted inputs' gradients, computed in dtype."""
    converted = [t.to(dtype) if t is not None and t.is_floating_point() else t for t in inputs]
    for i in wanted:
        converted[i] = converted[i].detach().clone().requires_grad_(True)
    outputs = as_tuple(function(*converted))
    pairs = [(o, d.to(dtype)) for o, d in zip(outputs, douts) if d is not None and wanted]
    leaves = [converted[i] for i in wanted]
    gradients = torch.autograd.grad([o for o, _ in pairs], leaves, [d for _, d in pairs]) if pairs else []
    return [o.detach() for o in outputs], [g.detach() for g in gradients]


class Cases:
    def __init__(self, op):
        self.op, self.cases, self.tensors, self.errors = op, [], {}, {}
        generator.manual_seed(zlib.crc32(op.encode()))  # changing one op's cases does not change other files

    def add(self, name, inputs, function, attrs=None, op=None, grads=None, douts=None, finite=True, jitter=1e-3):
        """A case whose op returns outputs.

        inputs: float32, int32 or uint32 tensors, None for an absent one. function: their PyTorch equivalent, in
        the inputs' dtype; returns a tensor or a tuple, the op's first outputs (an integer output must match
        exactly). grads: indices of the inputs that get a gradient (default: every float32 one; [] for an op without).
        douts: gradients of the outputs (default: random; None in the list if none arrives). finite False: no finite
        differences (a step function). jitter: relative shift of the inputs for the error estimate; 0 for none.
        """
        wanted = [i for i, t in enumerate(inputs) if t is not None and t.is_floating_point()] if grads is None else grads
        with torch.no_grad():
            probe = as_tuple(function(*[t.double() if t is not None and t.is_floating_point() else t for t in inputs]))
        if douts is None:
            douts = [randn(*o.shape) if o.is_floating_point() else None for o in probe]
        outputs, gradients = evaluate(function, inputs, douts, wanted, torch.float64)
        names = [f"out{i}" for i in range(len(outputs))] + [f"din{i}" for i in wanted]
        self.__declare(name, op, attrs, inputs, outputs=len(outputs), finite=finite)
        for i, dout in enumerate(douts):
            if dout is not None and wanted:
                self.tensors[f"{name}.dout{i}"] = dout
        for key, value in zip(names, outputs + gradients):
            self.tensors[f"{name}.{key}"] = value
        for draw in range(DRAWS if jitter else 1):
            moved, moved_douts = ([t if t is None or not t.is_floating_point() or not draw
                                   else t * (1 + jitter * randn(*t.shape)) for t in ts] for ts in (inputs, douts))
            exact = sum(evaluate(function, moved, moved_douts, wanted, torch.float64), [])
            single = sum(evaluate(function, moved, moved_douts, wanted, torch.float32), [])
            self.__measure(name, names, single, exact)

    def add_update(self, name, inputs, function, attrs=None, op=None):
        """A case of an op without outputs, which writes persistent inputs. function returns {input index: its value
        afterwards}."""
        exact = function(*[t.double() if t is not None and t.is_floating_point() else t for t in inputs])
        single = function(*inputs)
        self.__declare(name, op, attrs, inputs, outputs=0, finite=False)
        for i, value in exact.items():
            self.tensors[f"{name}.after{i}"] = value
        self.__measure(name, [f"after{i}" for i in exact], [single[i] for i in exact], list(exact.values()))

    def __declare(self, name, op, attrs, inputs, outputs, finite):
        assert "." not in name and all(c["name"] != name for c in self.cases), name
        case = {"name": name, "op": op or self.op, "attrs": attrs or {}, "inputs": len(inputs), "outputs": outputs,
                "absent": [i for i, t in enumerate(inputs) if t is None]}
        if not finite:
            case["finite"] = False
        self.cases.append(case)
        for i, t in enumerate(inputs):
            if t is not None:
                assert t.dtype in (torch.float32, torch.int32, torch.uint32), (name, i, t.dtype)
                self.tensors[f"{name}.in{i}"] = t

    def __measure(self, name, names, single, exact):
        for key, s, e in zip(names, single, exact):
            if e.is_floating_point():
                key = f"{name}.{key}"
                self.errors[key] = max(self.errors.get(key, 0.0), relative_error(s, e))

    def save(self):
        FIXTURES.mkdir(parents=True, exist_ok=True)
        path = FIXTURES / f"{self.op}.safetensors"
        errors = {key: float(f"{value:.3g}") for key, value in self.errors.items()}
        metadata = {"cases": json.dumps(self.cases), "errors": json.dumps(errors)}
        tensors = {}
        for key, value in self.tensors.items():
            value = value if not value.dtype == torch.int64 else value.to(torch.int32)
            tensors[key] = value.detach().clone().contiguous()
        save_file(tensors, path, metadata=metadata)
        print(f"{path.name}: {len(self.cases)} cases, {path.stat().st_size} bytes")
