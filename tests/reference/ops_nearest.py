"""Fixtures of nearest_row. No two distances of a row are near each other, except where they are exactly equal."""
import torch

from opcase import Cases, generator, randn

NEAR = 1e-4  # of the largest term: a hundred times the rounding of float32


def nearest(x, table):
    """The lowest index of the least distance; 0 if no distance is less than infinity."""
    distance = (table * table).sum(1) - 2 * x @ table.T
    least = distance.nan_to_num(nan=torch.inf).min(1, keepdim=True).values
    index = torch.arange(len(table)).expand_as(distance)
    return torch.where((distance == least) & (least < torch.inf), index, len(table)).min(1).values % len(table)


def apart(x, table):
    distance = (table * table).sum(1).double() - 2 * x.double() @ table.double().T
    two = distance.topk(min(2, len(table)), largest=False).values
    return len(table) == 1 or ((two[:, 1] - two[:, 0]) > NEAR * distance.abs().amax(1)).all()


def add(cases, name, x, table):
    cases.add(name, [x, table], nearest, grads=[], finite=False, jitter=0)


def random_case(cases, rows, entries, columns):
    """Rows near entries all over the table: otherwise the few short entries would win everywhere."""
    for _ in range(1000):
        table = randn(entries, columns)
        x = table[torch.randint(0, entries, (rows,), generator=generator)] + 0.3 * randn(rows, columns)
        if apart(x, table):
            return add(cases, f"{rows}x{entries}x{columns}", x, table)
    raise AssertionError((rows, entries, columns))


def tied_case(cases, rows, entries, columns):
    """Whole numbers, so that every sum is exact: entries that occur again and again, and others at the same distance."""
    whole = lambda *shape: torch.randint(-3, 4, shape, generator=generator).float()
    few = whole(max(1, entries // 3), columns)
    table = few[torch.randint(0, len(few), (entries,), generator=generator)]
    add(cases, f"ties_{rows}x{entries}x{columns}", whole(rows, columns), table)


def strange_case(cases):
    """NaN and infinity: an index in range, and the other rows as ever."""
    table = torch.tensor([[3.0, 4.0], [torch.nan, 0.0], [1.0, 1.0], [0.0, torch.inf], [-2.0, 0.5]])
    x = torch.tensor([[torch.nan, 1.0], [1.0, 2.0], [torch.inf, 0.0], [-2.0, 0.0]])
    add(cases, "nan", x, table)
    add(cases, "all_nan", x, torch.full((33, 2), torch.nan))


if __name__ == "__main__":
    cases = Cases("nearest_row")
    for rows, entries, columns in [(1, 1, 1), (31, 33, 5), (5, 31, 64), (33, 64, 65), (65, 65, 33), (7, 127, 31),
                                   (64, 2, 1), (3, 257, 17), (2, 1031, 11), (1, 4099, 7)]:
        random_case(cases, rows, entries, columns)
    for rows, entries, columns in [(31, 7, 1), (5, 65, 2), (64, 33, 3), (3, 515, 4)]:
        tied_case(cases, rows, entries, columns)
    strange_case(cases)
    cases.save()
