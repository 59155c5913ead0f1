"""Makes tests/fixtures/selftest.safetensors: a few small cases of every op fixture, which the build embeds in the binary.

Takes the smallest case with the most gradients of each op and each number of inputs it can have (attention with a mask has
one more), and a second one if it is very small. Computes nothing with
PyTorch; only reads tests/fixtures/ops: run it after any of them changes.
"""
import collections
import json

from safetensors import safe_open
from safetensors.torch import save_file

from opcase import FIXTURES

SMALL = 250  # elements in all tensors of a case
LIMIT = 250_000


def choose(cases, names_of, sizes):
    """Sorts the cases with the most gradients first, then by size, with at least three elements."""
    def rank(case):
        names = names_of[case["name"]]
        elements = sum(sizes[n] for n in names)
        return (-sum(".din" in n for n in names), elements < 30, elements)
    by_op = collections.defaultdict(list)
    for case in sorted(cases, key=rank):
        chosen = by_op[case["op"]]
        another_form = all(c["inputs"] != case["inputs"] for c in chosen)
        if another_form or (len(chosen) == 1 and rank(case)[-1] < SMALL):
            chosen.append(case)
    return [c for op in sorted(by_op) for c in by_op[op]]


def main():
    cases, errors, tensors = [], {}, {}
    for path in sorted(FIXTURES.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            names_of = collections.defaultdict(list)
            for name in file.keys():
                names_of[name.rsplit(".", 1)[0]].append(name)
            sizes = {n: file.get_tensor(n).numel() for n in file.keys()}
            file_errors = json.loads(metadata["errors"])
            for case in choose(json.loads(metadata["cases"]), names_of, sizes):
                new = f"{path.stem}-{case['name']}"
                for name in names_of[case["name"]]:
                    renamed = f"{new}.{name.rsplit('.', 1)[1]}"
                    tensors[renamed] = file.get_tensor(name)
                    if name in file_errors:
                        errors[renamed] = file_errors[name]
                cases.append({**case, "name": new})
    path = FIXTURES.parent / "selftest.safetensors"
    save_file(tensors, path, metadata={"cases": json.dumps(cases), "errors": json.dumps(errors)})
    size = path.stat().st_size
    print(f"{path.name}: {len(cases)} cases, {size} bytes")
    assert size < LIMIT


if __name__ == "__main__":
    main()
