"""The installed package against the commands' results. The folder has run.json, clip/, images/, rows.safetensors (of
`genhance encode`) and whole/, a run of `genhance train`. Training here must end in the same bits (test_python.sh)."""
import json
import pathlib
import shutil
import struct
import unittest

import numpy as np

import genhance


def read_rows(path):
    """The embeddings of a file of `genhance encode`."""
    data = pathlib.Path(path).read_bytes()
    size, = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8:8 + size])["embeddings"]
    first, end = entry["data_offsets"]
    return np.frombuffer(data[8 + size + first:8 + size + end], np.float32).reshape(entry["shape"])


class Encoding(unittest.TestCase):
    files = sorted(str(p) for p in pathlib.Path("images").rglob("*") if p.is_file())

    def test_files_are_the_command_s(self):
        want = read_rows("rows.safetensors")
        names = json.loads(pathlib.Path("rows.json").read_text())
        self.assertEqual(len(want), len(self.files), names)
        np.testing.assert_array_equal(genhance.encode("clip", self.files, batch=3), want)

    def test_arrays_and_files_keep_their_order(self):
        array = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)
        with genhance.Encoder("clip", batch=2) as encoder:
            mixed = encoder.images([self.files[0], array, array[:, ::-1], self.files[1]])
            self.assertEqual(mixed.shape, (4, encoder.width))
            self.assertEqual(mixed.dtype, np.float32)
            np.testing.assert_array_equal(mixed[[0, 3]], encoder.images(self.files[:2]))
            np.testing.assert_array_equal(mixed[1:3], encoder.images([array, array[:, ::-1]]))
            self.assertFalse(np.array_equal(mixed[1], mixed[2]))
            self.assertEqual(encoder.images([]).shape, (0, encoder.width))
        with self.assertRaisesRegex(ValueError, "closed"):
            encoder.images([array])

    def test_rejections(self):
        with self.assertRaises(genhance.Error) as caught:
            genhance.encode("clip", ["absent.png"])
        self.assertEqual(caught.exception.status, "file")
        self.assertIn("absent.png", str(caught.exception))
        with self.assertRaisesRegex(ValueError, "float64.*expected uint8"):
            genhance.encode("clip", [np.zeros((4, 4, 3))])
        with self.assertRaisesRegex(ValueError, "float8.*bfloat16"):
            genhance.encode("clip", self.files, precision="float8")
        with self.assertRaises(genhance.Error) as caught:
            genhance.encode("clip", self.files, device="opencl:99")
        self.assertEqual(caught.exception.status, "argument")

    def test_devices(self):
        found = genhance.devices()
        self.assertTrue(found and found[0].id and found[0].memory_bytes > 0)


class Training(unittest.TestCase):
    def test_callback_stops_resumes_and_exports(self):
        seen = []

        def stop(progress):
            seen.append(progress)
            return progress.stage == 1 and progress.update == 2

        with self.assertRaises(genhance.Stopped):
            genhance.train("run.json", callback=stop)
        self.assertEqual([p.update for p in seen], [1, 2])
        self.assertTrue(seen[0].loss > 0 and seen[0].updates == 3)
        with self.assertRaises(ZeroDivisionError):
            genhance.train("run.json", callback=lambda p: 1 // 0, resume=True)
        report = genhance.train("run.json", resume=True)
        self.assertEqual(report.output, "run")
        self.assertEqual([s.updates for s in report.stages], [3, 3])
        self.assertEqual(len(report.losses(2)), 3)
        self.assertEqual(report.config["stage2"]["lora"]["rank"], 2)
        self.assertEqual(report.export("encoder"), 3)
        self.assertTrue(pathlib.Path("encoder/model.safetensors").exists())
        with self.assertRaises(genhance.Error) as caught:
            genhance.train("run.json")
        self.assertIn("--resume", str(caught.exception))

    def test_configurations(self):
        config = json.loads(pathlib.Path("run.json").read_text())
        report = genhance.train(config, {"output": "other", "stage2.steps": 0, "stage1.steps": 1})
        self.assertEqual([s.updates for s in report.stages], [1, 0])
        plans = genhance.plan(config, {"output": "none", "stage1.steps": 0})
        self.assertIsNone(plans[0])
        self.assertGreater(plans[1]["persistent_bytes"], 0)
        self.assertFalse(pathlib.Path("none").exists())
        with self.assertRaises(genhance.Error) as caught:
            genhance.train(config, {"stage1.step": 3})
        self.assertEqual(caught.exception.status, "config")
        shutil.rmtree("other")


unittest.main(verbosity=0)
