"""fixtures/eval/events.tfevents and rich.tfevents: written by TensorBoard's own record writer and protobufs. Needs the tensorboard package.

With a folder as argument, reads that run's event file instead and prints every scalar.
"""
import pathlib
import sys

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
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


def write_rich():
    norms, same = [0.5, 0.25, 4.25, 1, 1, 2.0625], [3, 3]
    png = bytes(i * 7 % 256 for i in range(300))
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    tensor = TensorProto(dtype=7, string_val=[b'{"version":"0.2.0"}'],
                         tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]))
    picture = Summary.Image(height=200, width=320, colorspace=3, encoded_image_string=png)
    values = [(1.5, 0, Summary.Value(tag="made_by", tensor=tensor, metadata=metadata)),
              (2.5, 50, Summary.Value(tag="stage2/reconstructions", image=picture)),
              (3.5, 50, Summary.Value(tag="adapter/norm", histo=histogram(norms))),
              (4.5, 100, Summary.Value(tag="adapter/norm", histo=histogram(same)))]
    with open(FIXTURES / "eval" / "rich.tfevents", "wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=1700000000.25, file_version="brain.Event:2").SerializeToString())
        for time, step, value in values:
            event = Event(wall_time=1700000000 + time, step=step, summary=Summary(value=[value]))
            writer.write(event.SerializeToString())
        writer.flush()


def histogram(values, buckets=30):
    """Of equal width; the last ends at the greatest value."""
    least, most = min(values), max(values)
    width = (most - least) / buckets
    counts = [0.0] * buckets
    for value in values:
        counts[min(int((value - least) / width), buckets - 1) if width else 0] += 1
    limits = [least + (i + 1) * width for i in range(buckets - 1)] + [most]
    return HistogramProto(min=least, max=most, num=len(values), sum=sum(values), sum_squares=sum(v * v for v in values),
                          bucket_limit=limits, bucket=counts)


def read(run):
    for path in sorted(pathlib.Path(run).rglob("*tfevents*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                print(event.step, value.tag, value.tensor.float_val[0] if value.HasField("tensor") else value.simple_value)


read(sys.argv[1]) if len(sys.argv) > 1 else (write(), write_rich())
