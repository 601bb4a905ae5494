"""Static int8 quantisation of an image classifier in the QDQ form, by onnxruntime's own tool.

BatchNorm is folded first (onnxruntime's basic optimisations), as its documentation asks. Weights: int8, a scale a
channel. Activations: uint8. Calibrated on eight random images, which is all that random weights deserve.
"""
import pathlib
import tempfile

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static


class RandomImages(CalibrationDataReader):
    def __init__(self, count=8):
        random = np.random.default_rng(11)
        self.batches = iter([{"input": random.standard_normal((1, 3, 224, 224), np.float32)} for _ in range(count)])

    def get_next(self):
        return next(self.batches, None)


def quantise(source: pathlib.Path, target: pathlib.Path):
    with tempfile.TemporaryDirectory() as folder:
        folded = str(pathlib.Path(folder) / "folded.onnx")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = folded
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        quantize_static(folded, str(target), RandomImages(), quant_format=QuantFormat.QDQ, per_channel=True,
                        weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8)
