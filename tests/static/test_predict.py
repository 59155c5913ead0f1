"""Checks the arithmetic of the prediction on numbers small enough to follow."""

import contextlib
import io
import json
import os
import tempfile
import unittest

import predict
import units

H200, MI300X, _, A770 = predict.CARDS


def facts(**given):
    base = {"takes": {"registers": 128, "local": 0}, "lanes": 32, "busy": {"matrix": 100.0, "issue": 50.0}, "unit": "matrix",
            "kind": "matrix", "work": 2048, "serial": 150.0, "waits": 0, "share": 100.0, "global": 512}
    return {**base, **given}


class Occupancy(unittest.TestCase):
    def test_registers_and_local_memory(self):
        # 512 / 128 registers: 4 warps on each of 4 SIMDs, so two groups of 8 warps
        self.assertEqual(predict.occupancy(H200, facts(), 256), (2, 8))
        # 228 KiB / (100 KiB and one reserved) = 2, less than the registers of 32 allow
        small = facts(takes={"registers": 32, "local": 100 << 10})
        self.assertEqual(predict.occupancy(H200, small, 128), (2, 4))
        # 160 registers: 3 waves of 64 on a SIMD, 12 on a compute unit
        wave = facts(takes={"registers": 160, "local": 0}, lanes=64)
        self.assertEqual(predict.occupancy(MI300X, wave, 256), (3, 4))
        # with 256 registers an XVE has 4 threads: 64 on an Xe core
        thread = facts(takes={"registers": 256, "local": 0, "lanes": 8})
        self.assertEqual(predict.occupancy(A770, thread, 256), (2, 32))


class Clocks(unittest.TestCase):
    def test_full_chip_runs_at_the_rate_of_its_longest_unit(self):
        groups = 2 * H200.compute
        total, latency = predict.clocks(H200, facts(), groups, 256, groups * 8 * 10)  # ten iterations of each warp
        self.assertAlmostEqual(total, 2 * 8 / 4 * 10 * 100)
        self.assertFalse(latency)

    def test_last_round_costs_what_its_fullest_unit_takes(self):
        full, _ = predict.clocks(H200, facts(), 264, 256, 264 * 80)
        more, _ = predict.clocks(H200, facts(), 265, 256, 265 * 80)
        one, _ = predict.clocks(H200, facts(), 1, 256, 80)
        self.assertAlmostEqual(more, full + one)

    def test_latency(self):
        waiting = facts(waits=1)
        total, latency = predict.clocks(H200, waiting, 1, 32, 10)  # one warp alone
        self.assertAlmostEqual(total, 10 * (150 + H200.latency))
        self.assertTrue(latency)


class Launches(unittest.TestCase):
    def test_memory_kernel(self):
        t = units.TARGETS["sm_90"]
        launch = predict.Launch("update", "add", "add_forward", "kernels f32", 10**6, 256, [10**6, 1, 1], 0, 1e9, [8], [])
        copy = facts(kind="memory", busy={"issue": 1.0, units.MEMORY: 4.0}, serial=100.0)
        seconds, bound = predict.row_seconds(H200, copy, launch)
        self.assertAlmostEqual(seconds, 1e9 / (t.gbytes * 1e9 * predict.REACHED))
        self.assertEqual(bound, "memory")
        slow = facts(kind="memory", share=10.0, unit="issue", serial=100.0)
        self.assertAlmostEqual(predict.row_seconds(H200, slow, launch)[0], 10 * 1e9 / (t.gbytes * 1e9))
        self.assertEqual(predict.row_seconds(H200, slow, launch)[1], "issue")

    def test_step_is_read(self):
        text = ("launch\tencoder\tlinear\tgemm m=64 n=128 k=32 nt batch=1 beta=0 bf16\tkernels\t\t\t0\t0\t0\t0\t0\t0\t524288\t100\t64x32\n"
                "candidate\town-matrix\tgemm_nt\ttuned_gemm_matrix\t-DTILE=64 -DAB_BF16\tf32\t2\t1\t1\t256\t1\t1\n"
                "launch\tother\tadamw\tadamw_update\tkernels\t\tf32\t3\t1\t1\t256\t1\t1\t9\t400\t100\nmemory\t12345\n")
        launches, memory = predict.read_step(text)
        self.assertEqual(memory, 12345)
        self.assertEqual(launches[0].candidates[0][:5], ("own-matrix", "gemm_nt", "tuned_gemm_matrix f32 -DTILE=64 -DAB_BF16", 2, 256))
        self.assertEqual((launches[1].program, launches[1].bytes, launches[0].shape), ("kernels f32", 800, [64, 32]))


class Beside(unittest.TestCase):
    def test_measured_beside_predicted(self):
        with tempfile.TemporaryDirectory() as folder:
            table, measured = os.path.join(folder, "t.tsv"), os.path.join(folder, "m.json")
            with open(table, "w") as f:
                f.write("card\tstage\tprecision\tbatch\tkernel\tlaunches\tmilliseconds\nH200\t2\tbf16\t32\tstep\t9\t10\n"
                        "H200\t2\tbf16\t32\tgemm_nt, a\t9\t3\nH200\t2\tbf16\t32\tgemm_nt, b\t9\t1\n")
            step = {"device_name": "NVIDIA H200", "stage": 2, "precision": "bfloat16", "batch": 32, "step_seconds_median": 0.02,
                    "profile": [{"name": "gemm m=1 n=2 k=3 nt batch=1", "seconds": 0.008}]}
            for name, expected in (("NVIDIA H200", ["| 10.00 | 20.00 | 2.00 |", "| 4.00 | 8.00 | 2.00 |"]), ("T4", ["Nothing"])):
                with open(measured, "w") as f:
                    json.dump({**step, "device_name": name}, f)
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    predict.beside(table, [measured, measured + ".none"])
                for text in expected:
                    self.assertIn(text, out.getvalue())


if __name__ == "__main__":
    unittest.main()
