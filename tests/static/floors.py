"""The floors of the hot kernels' loops: a table in a file, one row per program, kernel and measure, one column per target.

Columns are separated by tabs. The first two are patterns (`*`); the first row of a measure that matches a kernel counts. "-": the
kernel does not exist for the target, or the measure not for its vendor. ".": it is not read there. Reading every loop on every
target would take hours; so targets beside the two that have floors for all rows have them for the kernels that do most of a
step's work. The measures:

  share    at least: per cent of the time that the loop's own units can be busy, if many threads are ready
  wave     at least, AMD: the same for one wave alone, by llvm-mca
  fma      at least: per cent of multiply-adds among all vector instructions
  others   at most: other instructions per matrix instruction
"""

import fnmatch
import math

MEASURES = {"share": "memory matrix fma", "wave": "matrix fma", "fma": "fma", "others": "matrix"}
AT_MOST = {"others"}
SLACK = 0.02  # of what is measured, when floors are rewritten


class Floors:
    def __init__(self, path):
        self.path = path
        with open(path) as f:
            self.lines = [line.rstrip("\n") for line in f]
        self.head = next(line for line in self.lines if not line.startswith("#")).split("\t")
        self.targets = self.head[3:]
        self.rows = []
        for line in self.lines[self.lines.index("\t".join(self.head)) + 1 :]:
            cells = line.split("\t")
            if len(cells) != len(self.head) or cells[2] not in MEASURES:
                raise ValueError(f"{path}: a row of {len(cells)} columns or an unknown measure: {line}")
            self.rows.append(cells)

    def has(self, target):
        """Whether any floor is written for the target."""
        return any(cells[3 + self.targets.index(target)] not in "-." for cells in self.rows)

    def reads(self, target, program):
        """Whether the program's loops are read on the target."""
        at = 3 + self.targets.index(target)
        return any(cells[at] != "." and fnmatch.fnmatchcase(program, cells[0]) for cells in self.rows)

    def row_of(self, program, kernel, measure):
        for cells in self.rows:
            if cells[2] == measure and fnmatch.fnmatchcase(program, cells[0]) and fnmatch.fnmatchcase(kernel, cells[1]):
                return cells
        return None

    def broken(self, target, program, facts):
        """What is wrong with a kernel, one text per measure."""
        texts = []
        for measure, kinds in MEASURES.items():
            if facts["kind"] not in kinds.split():
                continue
            cells = self.row_of(program, facts["kernel"], measure)
            floor = cells[3 + self.targets.index(target)] if cells else "-"
            value = facts.get(measure)
            if floor == ".":
                continue
            if value is None:
                if floor != "-":
                    texts.append(f"{measure} could not be measured; the floor is {floor}")
            elif floor == "-":
                texts.append(f"{measure} {value:.1f}, but {self.path} has no floor for it")
            elif measure in AT_MOST and not value <= float(floor):
                texts.append(f"{measure} {value:.2f}, at most {floor} is allowed")
            elif measure not in AT_MOST and not value >= float(floor):
                texts.append(f"{measure} {value:.1f} %, the floor is {floor}")
        return texts

    def rewrite(self, results, partly=False):
        """Every cell becomes the worst that its row's kernels reach on the target, less a little; targets that were not
        measured keep theirs, and so do kernels that are not read there. `partly`: only some kernels were measured."""
        worst = {}
        for target, program, found, _, _ in results:
            for facts in found:
                for measure, kinds in MEASURES.items():
                    cells = self.row_of(program, facts["kernel"], measure)
                    if cells is None or measure not in facts or facts["kind"] not in kinds.split():
                        continue
                    key = (id(cells), target)
                    pick = max if measure in AT_MOST else min
                    worst[key] = pick(worst.get(key, facts[measure]), facts[measure])
        measured = {r[0] for r in results}
        for cells in self.rows:
            for i, target in enumerate(self.targets):
                value = worst.get((id(cells), target))
                if target in measured and cells[3 + i] != "." and not (partly and value is None):
                    cells[3 + i] = "-" if value is None else rounded(value, cells[2])
        with open(self.path, "w") as f:
            comments = [line for line in self.lines if line.startswith("#")]
            f.write("\n".join([*comments, "\t".join(self.head), *("\t".join(cells) for cells in self.rows)]) + "\n")


def rounded(value, measure):
    if measure in AT_MOST:
        return f"{math.ceil(10 * value * (1 + SLACK)) / 10:g}"
    return f"{math.floor(value * (1 - SLACK)):g}"
