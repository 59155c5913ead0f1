"""Finds loops in a kernel's assembly, and what one iteration executes.

Loops are natural loops of the graph of basic blocks. An iteration is the most expensive path from the loop's head back to it:
of two branches the dearer one is counted, so a check of edges inside a loop counts as taken. A loop inside it counts with its
number of rounds where the assembly tells that (a counter that is compared with a constant), else once.
"""

import re
from collections import namedtuple

Loop = namedtuple("Loop", "head blocks children rounds")  # rounds: None if unknown
MOST_ROUNDS = 4096


class Flow:
    """Basic blocks as ranges of instructions, and the edges between them."""

    def __init__(self, kernel):
        self.code = kernel.code
        self.labels = kernel.labels
        starts = {0} | {at for at in kernel.labels.values() if at < len(self.code)}
        starts |= {i + 1 for i, x in enumerate(self.code) if x.kind == "branch" and i + 1 < len(self.code)}
        self.starts = sorted(starts)
        self.ends = self.starts[1:] + [len(self.code)]
        of = {start: block for block, start in enumerate(self.starts)}
        self.next = []
        for end in self.ends:
            last = self.code[end - 1]
            targets = [of[kernel.labels[j]] for j in last.jump if kernel.labels.get(j, len(self.code)) in of]
            if last.falls and end in of:
                targets.append(of[end])
            self.next.append(sorted(set(targets)))
        self.order = self.reversed_postorder()
        self.before = [[] for _ in self.starts]
        for block in self.order:
            for to in self.next[block]:
                self.before[to].append(block)
        self.loops = self.find_loops()

    def reversed_postorder(self):
        done, order, stack = {0}, [], [(0, iter(self.next[0]))]
        while stack:
            block, rest = stack[-1]
            to = next((t for t in rest if t not in done), None)
            if to is None:
                order.append(block)
                stack.pop()
            else:
                done.add(to)
                stack.append((to, iter(self.next[to])))
        return order[::-1]

    def dominators(self):
        """Of each reachable block the immediate dominator (Cooper, Harvey, Kennedy)."""
        place = {block: i for i, block in enumerate(self.order)}
        above = {0: 0}
        changed = True
        while changed:
            changed = False
            for block in self.order[1:]:
                known = [b for b in self.before[block] if b in above]
                new = known[0]
                for other in known[1:]:
                    while new != other:
                        while place[new] > place[other]:
                            new = above[new]
                        while place[other] > place[new]:
                            other = above[other]
                if above.get(block) != new:
                    above[block] = new
                    changed = True
        return above

    def find_loops(self):
        above = self.dominators()

        def dominates(head, block):
            while block != head and block != 0:
                block = above[block]
            return block == head

        bodies = {}
        for block in self.order:
            for head in self.next[block]:
                if not dominates(head, block):
                    continue
                body, stack = bodies.setdefault(head, {head}), [block]
                while stack:
                    at = stack.pop()
                    if at not in body:
                        body.add(at)
                        stack += self.before[at]
        loops = {}
        for head in sorted(bodies, key=lambda h: len(bodies[h])):
            body = bodies[head]
            inside = [l for l in loops.values() if l.head in body and l.head != head]
            nested = {other.head for l in inside for other in all_loops([l]) if other is not l}
            children = [l for l in inside if l.head not in nested]
            loops[head] = Loop(head, frozenset(body), children, rounds_of(self, head, body))
        return list(loops.values())


def all_loops(loops):
    for loop in loops:
        yield loop
        yield from all_loops(loop.children)


def iteration(flow, loop, cost):
    """[(times, [instruction])]: runs of instructions that one iteration executes. `cost(instruction)` is the length for the
    choice of the longest path. `loop` None: the whole kernel, from its start to its end."""
    blocks = loop.blocks if loop else frozenset(flow.order)
    head = loop.head if loop else 0
    children = loop.children if loop else outermost(flow)
    child_of = {block: child for child in children for block in child.blocks}
    best, paths = {}, {}  # of a block, the longest way to its start

    def node(block):
        return child_of[block].head if block in child_of else block

    def inside(block):
        if block in child_of:
            child = child_of[block]
            return [(times * (child.rounds or 1), run) for times, run in iteration(flow, child, cost)]
        return [(1, flow.code[flow.starts[block] : flow.ends[block]])]

    best[node(head)] = 0.0
    paths[node(head)] = None
    longest, last = -1.0, None
    for block in flow.order:
        if block not in blocks or node(block) != block or block not in best:
            continue
        runs = inside(block)
        length = best[block] + sum(times * sum(map(cost, run)) for times, run in runs)
        members = child_of[block].blocks if block in child_of else {block}
        exits = {t for b in members for t in flow.next[b] if t not in members}
        ends = any(head in flow.next[b] for b in members) if loop else not exits
        for to in {node(t) for t in exits if t in blocks} - {head}:
            if length > best.get(to, -1.0):
                best[to], paths[to] = length, (block, runs)
        if ends and length > longest:
            longest, last = length, (block, runs)
    path = []
    while last:
        path = last[1] + path
        last = paths[last[0]]
    return merged(path)


def merged(path):
    """Neighbours that run equally often become one run."""
    runs = []
    for times, run in path:
        if runs and runs[-1][0] == times == 1:
            runs[-1] = (1, runs[-1][1] + run)
        elif run:
            runs.append((times, list(run)))
    return runs


def outermost(flow):
    nested = {child.head for loop in flow.loops for child in loop.children}
    return [loop for loop in flow.loops if loop.head not in nested]


# ---- the number of rounds ----

NUMBER = r"-?0x[0-9a-fA-F]+|-?\d+|U?RZ"
REGISTER = r"U?R\d+|[sv]\d+|r\d+\.\d+"
R, N, EITHER = f"({REGISTER})", f"({NUMBER})", f"({REGISTER}|{NUMBER})"
INTEL = r"\S*:\w+\s+"  # what follows an operand: its region and type
# Each has two groups, offsets three: of a compare, the operands; of an addition, its result and the number that is added (one operand or the
# result is the counter, which some compilers rename); of a move, its result and its source.
COMPARES = (
    rf"s_cmpk?_\w+_[ui]\d+ {EITHER}, {EITHER}$",
    rf"v_cmpx?_\w+_[ui]\d+(?:_e\d+)? (?:vcc(?:_lo)?|s\[\d+:\d+\]|s\d+), {EITHER}, {EITHER}$",
    rf"U?ISETP\S* U?P\d, U?PT, {EITHER}, {EITHER}, U?PT",
    rf"cmp \(\d+\|M\d+\)\s+\(\w+\)f\d\.\d\s+null<1>:\w+\s+{EITHER}{INTEL}{EITHER}\S*:",
)
ADDS = (
    rf"s_addk?_[iu]32 {R}, (?:s\d+, )?{N}$",
    rf"v_(?:dual_)?add_\w*u32(?:_e\d+)? {R}, (?:vcc\w*, )?{N}, v\d+",
    rf"(?:U?IADD3|VIADD)\S* {R}, (?:U?PT, U?PT, )?U?R\d+(?:\.reuse)?, {N}",
    rf"add \(\d+\|M\d+\)\s+{R}{INTEL}\S+\s+{N}:",
)
MOVES = (
    rf"s_movk?_[bi]32 {R}, {EITHER}$",
    rf"v_(?:dual_)?mov_b32(?:_e\d+)? {R}, {EITHER}$",
    rf"v_or_b32(?:_e\d+)? {R}, {N}, v\d+",  # a negative start beside a work-item's own place
    rf"(?:U?MOV|IMAD\.MOV\.U32) {R}, (?:RZ, RZ, )?{EITHER}",
    rf"mov \(\d+\|M\d+\)\s+{R}{INTEL}{EITHER}\S*:",
)
OFFSETS = (  # a result, the register that it is computed from, what was added: an unrolled loop compares its last step
    rf"s_(?:add_[iu]32|or_b32) {R}, {R}, {N}$",
    rf"(?:or|add) \(\d+\|M\d+\)\s+{R}{INTEL}{R}{INTEL}{N}:",
)
DEEPEST = 4  # moves that are followed


def number(text, narrow):
    if text.endswith("RZ"):
        return 0
    value = int(text, 0)
    wide = 1 << (16 if narrow else 32)
    return value - wide if wide // 2 <= value < wide else value


def is_register(text):
    return re.fullmatch(REGISTER, text) is not None


def matches(patterns, code):
    """[(place, first group, second group)]"""
    found = []
    for place, text in ((place, part.strip()) for place, x in code for part in x.text.split("::")):
        if m := next((m for p in patterns if (m := re.search(r"\b" + p, text))), None):
            narrow = re.match(r"s_\w+k_", text) is not None
            found.append((place, *(t if is_register(t) else number(t, narrow) for t in m.groups())))
    return found


WRITES = rf"^(?:@!?U?P\d+ )?(?!\w*(?:cmp|store|write|ST[GSL]))\S+ (?:({REGISTER})|s\[(\d+):(\d+)\])\b|^\S+ \(\d+\|M\d+\)\s+({REGISTER}):"


def writes(code, name):
    """Whether an instruction that is no move writes the register; only scalar pairs count beside single registers."""
    m = re.match(WRITES, code.text.strip())
    if not m or matches(MOVES, [(0, code)]):
        return False
    if m[2]:
        return name[0] == "s" and int(m[2]) <= int(name[1:]) <= int(m[3])
    return name in (m[1], m[4])


def value_before(code, moves, name, place):
    """The number that a register holds at a place, as far as moves tell; None: not seen."""
    for _ in range(DEEPEST):
        at, last = next(((at, source) for at, to, source in reversed(moves) if at < place and to == name), (place, None))
        if any(writes(code[i], name) for i in range(at + 1, place)):
            return None
        if not isinstance(last, str):
            return last
        name = last
    return None


def rounds_of(flow, head, body):
    """How often a loop runs whose counter is compared with a constant where the loop may end; None if that is not seen."""
    code = lambda blocks: [(i, flow.code[i]) for b in sorted(blocks) for i in range(flow.starts[b], flow.ends[b])]
    ends = [b for b in body if head in flow.next[b] or any(to not in body for to in flow.next[b])]
    start = flow.starts[head]
    moves = matches(MOVES, [(i, x) for i, x in enumerate(flow.code[:start])])
    adds, offsets = matches(ADDS, code(body)), matches(OFFSETS, code(body))
    for at, *operands in matches(COMPARES, code(ends)):
        for counter, bound in (operands, operands[::-1]):
            bound = value_before(flow.code, moves, bound, start) if isinstance(bound, str) else bound
            last = next(((base, offset) for i, name, base, offset in reversed(offsets) if i < at and name == counter), None)
            if last and bound is not None and last[0] != counter:
                counter, bound = last[0], bound - last[1]
            steps = [(i, step) for i, name, step in adds if name == counter and step]
            if len(steps) != 1 or bound is None:
                continue
            first = value_before(flow.code, moves, counter, start) or 0
            rounds = -(-(bound - first) // steps[0][1]) + (at < steps[0][0])
            if 1 < rounds <= MOST_ROUNDS:
                return rounds
    return None
