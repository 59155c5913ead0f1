"""fixtures/eval/events.tfevents: written by TensorBoard's own record writer and protobufs. Needs the tensorboard package.

With a folder as argument, reads that run's event file instead and prints every scalar.
"""
import pathlib
import sys

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


def write():
    with open(FIXTURES / "eval" / "events.tfevents", "wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=1700000000.25, file_version="brain.Event:2").SerializeToString())
        for step, scalars in ((1, [("stage1/loss", 0.7321), ("stage1/learning_rate", 1e-4)]),
                              (300, [("eval/mmvp", 31.9), ("eval/zeroshot.top1", -0.0), ("x", 1e30)]),
                              (99999999, [("stage2/loss", 0.25)])):
            values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars]
            event = Event(wall_time=1700000001.5 + step, step=step, summary=Summary(value=values))
            writer.write(event.SerializeToString())
        writer.flush()


def read(run):
    for path in sorted(pathlib.Path(run).rglob("*tfevents*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                print(event.step, value.tag, value.tensor.float_val[0] if value.HasField("tensor") else value.simple_value)


read(sys.argv[1]) if len(sys.argv) > 1 else write()
