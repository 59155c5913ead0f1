"""Checks the reading of assembly, the finding of loops, and that a kernel that became worse falls below its floor."""

import os
import tempfile
import unittest

import assembly
import flow
import loops
import units
from floors import Floors

HERE = os.path.dirname(os.path.abspath(__file__))
LABELS = ["program", "kernel", "measure"]


def snippet(name):
    with open(os.path.join(HERE, "snippets", name)) as f:
        return f.read()


def facts_of_amd(name):
    (kernel,) = assembly.amd_kernels(snippet(name))
    return loops.facts_of("gfx942", kernel)


class Amd(unittest.TestCase):
    def test_classes_and_widths(self):
        for text, kind, bytes, work in [
            ("global_load_dwordx4 v[4:7], v[2:3], off", "load", 16, 0),
            ("global_load_short_d16_hi v4, v[2:3], off", "load", 2, 0),
            ("global_load_d16_hi_b16 v4, v[2:3], off", "load", 2, 0),
            ("buffer_load_b128 v[4:7], v2, s[0:3], 0 offen", "load", 16, 0),
            ("global_store_byte v[2:3], v0, off", "store", 1, 0),
            ("ds_read2st64_b32 v[4:5], v1 offset1:1", "local load", 8, 0),
            ("ds_load_2addr_b64 v[4:7], v1 offset1:1", "local load", 16, 0),
            ("ds_write_b16 v1, v8", "local store", 2, 0),
            ("ds_store_b128 v1, v[4:7]", "local store", 16, 0),
            ("scratch_load_dword v1, off, s32", "scratch", 4, 0),
            ("v_mfma_f32_32x32x8_bf16_1k a[0:15], v[0:1], v[2:3], a[0:15]", "matrix", 0, 8192),
            ("v_wmma_f32_16x16x16_bf16 v[0:7], v[8:15], v[16:23], v[0:7]", "matrix", 0, 4096),
            ("v_pk_fma_f32 v[0:1], v[2:3], v[4:5], v[6:7]", "fma", 0, 2),
            ("v_dual_fmac_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v5, v6", "fma", 0, 2),
            ("v_dual_fmac_f32 v1, v2, v3 :: v_dual_mov_b32 v4, v5", "fma", 0, 1),
            ("v_mad_u64_u32 v[0:1], s[0:1], v2, v3, v[4:5]", "vector", 0, 0),
            ("v_exp_f32_e32 v0, v1", "vector", 0, 0),
            ("s_waitcnt vmcnt(0)", "wait", 0, 0),
            ("s_load_dwordx8 s[8:15], s[4:5], 0x0", "scalar", 0, 0),
            ("s_endpgm", "branch", 0, 0),
            ("buffer_gl0_inv", "wait", 0, 0),
        ]:
            with self.subTest(text):
                found = assembly.amd_instruction(text, 64)
                self.assertEqual((found.kind, found.bytes, found.work), (kind, bytes, work))
        self.assertTrue(assembly.amd_instruction("v_exp_f32_e32 v0, v1", 64).slow)

    def test_nested_loops(self):
        (kernel,) = assembly.amd_kernels(snippet("amd.s"))
        inner, outer = flow.Flow(kernel).loops
        self.assertEqual((inner.rounds, outer.rounds, len(outer.children)), (4, None, 1))

    def test_steady_state(self):
        facts = facts_of_amd("amd.s")
        counts = facts["counts"]
        # the inner loop counts four times; what is before and after the loops does not count
        self.assertEqual((facts["kind"], facts["place"]), ("matrix", "loop"))
        self.assertEqual([counts[k] for k in ("matrix", "load", "local store", "local load", "vector", "fma", "branch")],
                         [8, 2, 2, 4, 1, 0, 5])
        self.assertEqual(facts["widths"], {"load": {"16": 1, "2": 1}, "local store": {"16": 1, "2": 1}, "local load": {"8": 4}})
        self.assertEqual((facts["own"], facts["work"], facts["waits"]), (8 * 16, 8 * 4096, 1))
        self.assertAlmostEqual(facts["others"], (sum(counts.values()) - 8) / 8)


class Nvidia(unittest.TestCase):
    def test_steady_state(self):
        (kernel,) = assembly.nvidia_kernels(snippet("nvidia.sass"))
        facts = loops.facts_of("sm_90", kernel)
        self.assertEqual((facts["kind"], facts["place"], facts["work"]), ("matrix", "loop", 4 * 2048))
        self.assertEqual({k: n for k, n in facts["counts"].items() if n},
                         {"matrix": 4, "fma": 1, "vector": 12, "scalar": 1, "load": 2, "local load": 2, "local store": 1,
                          "wait": 2, "branch": 8})
        self.assertEqual(facts["widths"], {"load": {"16": 1, "2": 1}, "local store": {"2": 1}, "local load": {"16": 1, "8": 1}})

    def test_end_is_not_a_loop(self):
        (kernel,) = assembly.nvidia_kernels(snippet("nvidia.sass"))
        self.assertEqual(len(flow.Flow(kernel).loops), 2)
        last = [x for x in kernel.code if x.op == "EXIT"][0]
        self.assertFalse(last.falls)


class Intel(unittest.TestCase):
    def test_steady_state(self):
        (kernel,) = assembly.intel_kernels(snippet("intel.asm"))
        facts = loops.facts_of("pvc", kernel)
        self.assertEqual((facts["kind"], facts["place"], facts["work"]), ("matrix", "loop", 4 * 8 * 8 * 16 * 2))
        self.assertEqual({k: n for k, n in facts["counts"].items() if n},
                         {"matrix": 4, "fma": 1, "vector": 7, "scalar": 9, "load": 2, "local load": 4, "local store": 1, "wait": 2,
                          "branch": 9})
        self.assertEqual(facts["widths"], {"load": {"16": 2}, "local store": {"4": 1}, "local load": {"8": 4}})


class Floor(unittest.TestCase):
    def floors(self, *rows):
        file = tempfile.NamedTemporaryFile("w", suffix=".tsv", delete=False)
        self.addCleanup(os.remove, file.name)
        with file:
            file.write("# why\n" + "\n".join("\t".join(row) for row in [[*LABELS, "gfx942"], *rows]) + "\n")
        return Floors(file.name)

    def below(self, floors, facts):
        return loops.judge(floors, "gfx942", [("gfx942", "tuned_gemm", [facts], None, 0)], lambda text: None)[1]

    def test_regression_is_found(self):
        good, bad = facts_of_amd("amd.s"), facts_of_amd("regression.s")
        rows = [["tuned_*", "gemm_*", "share", "75"], ["tuned_*", "gemm_*", "others", "5"]]
        self.assertEqual(self.below(self.floors(*rows), good), 0)
        self.assertEqual(self.below(self.floors(*rows), bad), 1)
        for row in rows:
            self.assertTrue(any(row[2] in text for text in self.floors(*rows).broken("gfx942", "tuned_gemm", bad)))

    def test_kernel_without_floor(self):
        good = facts_of_amd("amd.s")
        share = ["*", "*", "share", "1"]
        self.assertEqual(self.below(self.floors(share, ["*", "gemm_tn", "others", "9"]), good), 1)
        self.assertEqual(self.below(self.floors(share, ["*", "*", "others", "-"]), good), 1)
        self.assertEqual(self.below(self.floors(share, ["*", "*", "others", "9"], ["*", "*", "wave", "9"]), good), 1)

    def test_rewriting(self):
        good = facts_of_amd("amd.s")
        floors = self.floors(["*", "*", "share", "1"], ["*", "*", "others", "-"])
        floors.rewrite([("gfx942", "tuned_gemm", [good], None, 0)])
        again = Floors(floors.path)
        self.assertEqual(self.below(again, good), 0)
        self.assertGreater(float(again.rows[0][3]), 70)
        self.assertTrue(again.has("gfx942"))
        self.assertFalse(self.floors(["*", "*", "share", "-"]).has("gfx942"))
        self.assertTrue(again.lines[0].startswith("# why"))

    def test_what_is_not_read(self):
        good = facts_of_amd("amd.s")
        floors = self.floors(["tuned_*", "gemm_nt", "share", "1"], ["tuned_*", "*", "others", "."], ["kernels*", "*", "share", "."])
        self.assertEqual(self.below(floors, good), 0)
        self.assertTrue(floors.reads("gfx942", "tuned_gemm"))
        self.assertFalse(floors.reads("gfx942", "kernels f32"))
        self.assertFalse(self.floors(["*", "*", "share", "."]).has("gfx942"))
        floors.rewrite([("gfx942", "tuned_gemm", [good], None, 0)])
        self.assertEqual([row[3] for row in Floors(floors.path).rows[1:]], [".", "."])

    def test_rewriting_partly(self):
        good = facts_of_amd("amd.s")
        floors = self.floors(["*", "gemm_tt", "share", "12"], ["*", "*", "share", "1"])
        floors.rewrite([("gfx942", "tuned_gemm", [good], None, 0)], True)
        again = Floors(floors.path).rows
        self.assertEqual(again[0][3], "12")
        self.assertGreater(float(again[1][3]), 70)


if __name__ == "__main__":
    unittest.main()
