"""Rows in the form of docs/results.md, for the other programs that stand beside genhance."""
import datetime
import json
import pathlib
import socket
import statistics
import time

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "docs" / "results.schema.json"
FIELDS = json.loads(SCHEMA.read_text())["properties"]
NOISY = 0.1


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


def hardware(name=None, uuid=None):
    """As genhance names it: a GPU by its name and UUID, a processor by its name and host."""
    host = socket.gethostname()
    if name:
        return f"{name} ({uuid or host})"
    return f"{processor()} ({host})"


def gpu():
    """Name and UUID of PyTorch's first GPU."""
    import torch

    return torch.cuda.get_device_name(), getattr(torch.cuda.get_device_properties(0), "uuid", None)


TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}


def has_type(value, names):
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, TYPES[name]) for name in names if name != "boolean")


def check(row):
    """The types and lists of the schema; genhance checks the rest when it reads the rows."""
    for field, rule in FIELDS.items():
        value = row[field]
        if "const" in rule:
            assert value == rule["const"], field
            continue
        assert has_type(value, rule["type"]), f"{field}: {value!r}"
        assert "enum" not in rule or value in rule["enum"], f"{field}: {value!r}"


def make(**given):
    """A row with these fields; the others are null."""
    unknown = given.keys() - FIELDS.keys()
    assert not unknown, unknown
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    row = dict.fromkeys(FIELDS)
    row.update(schema=FIELDS["schema"]["const"], status="ok", clock="wall", host=socket.gethostname(), date=now)
    row.update(given)
    check(row)
    return row


def sample(seconds, work=None):
    """Fields of repeated times: seconds, or with `work` a rate."""
    values = sorted(work / s for s in seconds) if work else sorted(seconds)
    middle = statistics.median(values)
    spread = (values[-1] - values[0]) / middle
    return {"value": middle, "minimum": values[0], "maximum": values[-1], "spread": spread, "noisy": spread > NOISY,
            "repeats": len(values), "better": "higher" if work else "lower"}


def work(seconds, flop=None, moved=None):
    """Fields of the work of a repeat and the rates that follow."""
    middle, fields = statistics.median(seconds), {}
    if flop:
        fields.update(flop=float(flop), gflops=flop / middle * 1e-9)
    if moved:
        fields.update(bytes=float(moved), working_set_bytes=float(moved), gbytes_per_second=moved / middle * 1e-9)
    return fields


def repeat(body, repeats=5, least=5e-3):
    """Seconds of each repeat of `body`, which returns when its work is done; short ones run several times at once."""
    body()
    began = time.perf_counter()
    body()
    at_once = max(1, min(100, int(least / max(time.perf_counter() - began, 1e-9))))
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(at_once):
            body()
        times.append((time.perf_counter() - began) / at_once)
    return times


def append(path, rows):
    with open(path, "a", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


def without(status, reason, unit, **given):
    """A row without a result: "unsupported" where the program says that it cannot do this, else "error"."""
    better = "higher" if "/" in unit else "lower"
    return make(status=status, reason=str(reason)[:400], unit=unit, better=better, **given)


def read_done(path):
    """The rows of a file that need not be measured again: all but errors, which are removed from it."""
    path = pathlib.Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    done = [row for row in map(json.loads, lines) if row["status"] != "error"]
    if len(done) < len(lines):
        path.write_text("".join(json.dumps(row) + "\n" for row in done), encoding="utf-8")
    return done

