"""The operations of a traced graph, and what TensorFlow can do with them on a GPU.

TensorFlow's Linux wheel is built with CUDA and knows the kernels of a GPU on a machine
without one.
"""

import functools
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.framework import kernels

# Operations that raise on a GPU once `enable_op_determinism` was called. By
#   strings libtensorflow_cc.so.2 | grep -i determinis
# in TensorFlow 2.21, named by the messages that this prints, and by its documentation
# and release notes (2.8). Left out are those that its Python side goes round
# (cross-entropy by softmax) and those that only raise with cuDNN before 7.6.3
# (DepthwiseConv2dNativeBackpropFilter) or, since 2.8, not at all (segment sums).
RAISING = {
    "AdjustContrast",
    "AdjustContrastv2",
    "Bincount",
    "CropAndResizeGradBoxes",
    "CropAndResizeGradImage",
    "DebugNumericSummaryV2",
    "DenseBincount",
    "Dilation2DBackpropFilter",
    "Dilation2DBackpropInput",
    "FakeQuantWithMinMaxVarsGradient",
    "FakeQuantWithMinMaxVarsPerChannelGradient",
    "FusedBatchNormGrad",  # outside of training
    "FusedBatchNormGradV2",
    "FusedBatchNormGradV3",
    "HistogramFixedWidth",  # counts as Bincount does
    "MaxPoolGradGradWithArgmax",
    "MaxPoolGradWithArgmax",
    "RaggedBincount",
    "ResizeNearestNeighborGrad",
    "ScatterAdd",  # of variables of TensorFlow 1
    "ScatterSub",
    "SparseBincount",
    "SparseTensorDenseMatMul",
    "Svd",
    "Timestamp",  # on any device
}
assert tf.__version__.startswith("2.21"), "read the list of `RAISING` anew"
# They bring a call or a value to a device and compute nothing.
CARRIERS = {
    "Placeholder",
    "PartitionedCall",
    "StatefulPartitionedCall",
    "StatelessWhile",
    "While",
    "If",
    "StatelessIf",
}


def operations_of(*graphs: tf.Graph) -> Iterator[tf.compat.v1.NodeDef]:
    """Every operation of traced graphs and of the functions that these call."""
    for graph in graphs:
        definition = graph.as_graph_def()
        yield from definition.node
        for function in definition.library.function:
            yield from function.node_def


def raising_on_a_gpu(*graphs: tf.Graph) -> set[str]:
    """Operations that would raise under determinism, unless held on the processor."""
    return {
        node.op
        for node in operations_of(*graphs)
        if node.op in RAISING and "CPU" not in node.device
    }


def without_gpu_kernel(*graphs: tf.Graph) -> set[str]:
    """Operations, with their types, that are left to the processor unasked."""
    return {
        f"{node.op} {_types(node)}"
        for node in operations_of(*graphs)
        if "CPU" not in node.device and not _has_gpu_kernel(node)
    }


def _has_gpu_kernel(node: tf.compat.v1.NodeDef) -> bool:
    def fits(kernel):
        return kernel.device_type in ("GPU", "DEFAULT") and all(
            node.attr[limit.name].type in limit.allowed_values.list.type
            for limit in kernel.constraint
            if limit.name in node.attr
        )

    return node.op in CARRIERS or any(map(fits, _kernels(node.op)))


@functools.cache
def _kernels(operation: str) -> list:
    return list(kernels.get_registered_kernels_for_op(operation).kernel)


def _types(node: tf.compat.v1.NodeDef) -> str:
    types = {v.type for v in node.attr.values() if v.WhichOneof("value") == "type"}
    return "/".join(sorted(tf.as_dtype(number).name for number in types))
