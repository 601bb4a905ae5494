#!/usr/bin/env python3
"""Writes tests/golden/microsoft: the com.microsoft operators that exported models carry, as ONNX Runtime computes them.

Source of signatures: ONNX Runtime's docs/ContribOperators.md.
"""
import pathlib

import numpy as np
from case_writer import Writer

random = np.random.default_rng(5)


def normal(*shape, dtype=np.float32, scale=1.0):
    return (random.standard_normal(shape) * scale).astype(dtype)


def u8(*shape):
    return random.integers(0, 256, shape).astype(np.uint8)


def i8(*shape):
    return random.integers(-128, 128, shape).astype(np.int8)


def i7(*shape):
    """Weights beside u8 factors: ONNX Runtime adds pairs of products in 16 bits on processors without VNNI, which
    saturates for larger ones."""
    return (i8(*shape) // 2).astype(np.int8)


def scalar(value, dtype=np.float32):
    return np.array(value, dtype)


def activations(w):
    w.case("gelu", "Gelu", {"x": normal(3, 5)})
    w.case("fast_gelu", "FastGelu", {"x": normal(3, 5)})
    w.case("fast_gelu_bias", "FastGelu", {"x": normal(3, 8), "bias": normal(8)})
    w.case("quick_gelu", "QuickGelu", {"x": normal(3, 5)})
    w.case("quick_gelu_alpha", "QuickGelu", {"x": normal(3, 5)}, alpha=0.7)
    w.case("bias_gelu", "BiasGelu", {"a": normal(2, 3, 8), "b": normal(8)})


def products(w):
    a, b = normal(2, 3, 4), normal(2, 4, 5)
    w.case("fused_matmul", "FusedMatMul", {"a": a, "b": b}, alpha=0.5)
    w.case("fused_matmul_trans_a", "FusedMatMul", {"a": normal(2, 4, 3), "b": b}, transA=1)
    w.case("fused_matmul_trans_b", "FusedMatMul", {"a": a, "b": normal(2, 5, 4)}, transB=1, alpha=2.0)
    w.case("fused_matmul_trans_both", "FusedMatMul", {"a": normal(4, 3), "b": normal(5, 4)}, transA=1, transB=1)
    w.case("fused_matmul_trans_batch_a", "FusedMatMul", {"a": normal(3, 2, 4), "b": b}, transBatchA=1)
    for activation, parameters in [("Relu", None), ("Tanh", None), ("Sigmoid", None), ("LeakyRelu", [0.1]),
                                   ("Clip", [0.0, 0.5])]:
        extra = {"activation_params": parameters} if parameters else {}
        w.case(f"fused_conv_{activation.lower()}", "FusedConv",
               {"x": normal(1, 3, 6, 6), "w": normal(4, 3, 3, 3), "b": normal(4)}, activation=activation,
               kernel_shape=[3, 3], pads=[1, 1, 1, 1], **extra)
    w.case("fused_conv_sum", "FusedConv", {"x": normal(1, 3, 6, 6), "w": normal(4, 3, 3, 3), "b": normal(4),
                                           "z": normal(1, 4, 6, 6)}, activation="Relu", kernel_shape=[3, 3],
           pads=[1, 1, 1, 1])


def norms(w):
    x, skip = normal(2, 3, 8), normal(2, 3, 8)
    gamma, beta, bias = normal(8), normal(8), normal(8)
    w.case("skip_layer_norm", "SkipLayerNormalization", {"x": x, "skip": skip, "gamma": gamma, "beta": beta})
    w.case("skip_layer_norm_bias_sum", "SkipLayerNormalization",
           {"x": x, "skip": skip, "gamma": gamma, "beta": beta, "bias": bias}, ["y", "", "", "sum"], epsilon=1e-3)
    w.case("skip_layer_norm_no_beta", "SkipLayerNormalization", {"x": x, "skip": skip, "gamma": gamma})
    w.case("skip_layer_norm_broadcast", "SkipLayerNormalization", {"x": x, "skip": normal(3, 8), "gamma": gamma})
    w.case("skip_simplified_layer_norm", "SkipSimplifiedLayerNormalization", {"x": x, "skip": skip, "gamma": gamma})
    w.case("skip_simplified_layer_norm_sum", "SkipSimplifiedLayerNormalization",
           {"x": x, "skip": skip, "gamma": gamma, "bias": bias}, ["y", "", "", "sum"])
    w.case("simplified_layer_norm", "SimplifiedLayerNormalization", {"x": x, "scale": gamma}, domain="", axis=-1)
    w.case("simplified_layer_norm_axis_1", "SimplifiedLayerNormalization", {"x": x, "scale": normal(3, 8)}, domain="",
           axis=1, epsilon=1e-3)


def embeddings(w):
    ids = random.integers(0, 11, (2, 5)).astype(np.int32)
    inputs = {"ids": ids, "segments": random.integers(0, 2, (2, 5)).astype(np.int32), "words": normal(11, 8),
              "positions": normal(9, 8), "kinds": normal(2, 8), "gamma": normal(8), "beta": normal(8)}
    w.case("embed_layer_norm", "EmbedLayerNormalization", inputs, 2)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    w.case("embed_layer_norm_mask", "EmbedLayerNormalization", inputs | {"mask": mask}, 2)
    without = inputs | {"segments": None, "kinds": None}
    w.case("embed_layer_norm_no_segments", "EmbedLayerNormalization", without, 2)
    w.case("embed_layer_norm_sum", "EmbedLayerNormalization", inputs | {"mask": mask}, 3)
    at = np.array([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]], np.int32)
    w.case("embed_layer_norm_position_ids", "EmbedLayerNormalization", inputs | {"mask": mask, "at": at}, 2)


def rotary(w):
    cos, sin = normal(16, 4), normal(16, 4)
    at = np.array([[3, 4, 5], [0, 1, 2]], np.int64)
    for interleaved in (0, 1):
        w.case(f"rotary_3d_interleaved_{interleaved}", "RotaryEmbedding",
               {"x": normal(2, 3, 16), "at": at, "cos": cos, "sin": sin}, interleaved=interleaved)
        w.case(f"rotary_4d_interleaved_{interleaved}", "RotaryEmbedding",
               {"x": normal(2, 2, 3, 8), "at": at, "cos": cos, "sin": sin}, interleaved=interleaved)
    w.case("rotary_offset", "RotaryEmbedding",
           {"x": normal(2, 3, 16), "at": np.array([2], np.int64), "cos": cos, "sin": sin})
    w.case("rotary_partial", "RotaryEmbedding",
           {"x": normal(2, 3, 16), "at": at, "cos": normal(16, 2), "sin": normal(16, 2)}, num_heads=2, rotary_embedding_dim=4)


def attention(w):
    batch, time, width, heads = 2, 4, 8, 2
    base = {"x": normal(batch, time, width), "weights": normal(width, 3 * width, scale=0.5), "bias": normal(3 * width)}
    w.case("attention", "Attention", base, num_heads=heads)
    w.case("attention_causal", "Attention", base, num_heads=heads, unidirectional=1)
    w.case("attention_scale", "Attention", base, num_heads=heads, scale=0.3)
    lengths = np.array([3, 4], np.int32)
    w.case("attention_mask_lengths", "Attention", base | {"mask": lengths}, num_heads=heads)
    keep = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], np.int32)
    w.case("attention_mask_2d", "Attention", base | {"mask": keep}, num_heads=heads)
    full = np.tril(np.ones((batch, time, time), np.int32))
    w.case("attention_mask_3d", "Attention", base | {"mask": full}, num_heads=heads)
    past = normal(2, batch, heads, 3, width // heads)
    w.case("attention_past", "Attention", base | {"mask": None, "past": past}, 2, num_heads=heads)
    w.case("attention_past_causal", "Attention", base | {"mask": None, "past": past}, 2, num_heads=heads,
           unidirectional=1)
    w.case("attention_bias", "Attention", base | {"mask": None, "past": None, "add": normal(batch, heads, time, time)},
           num_heads=heads)
    sizes = {"x": base["x"], "weights": normal(width, 20, scale=0.5), "bias": normal(20)}
    w.case("attention_hidden_sizes", "Attention", sizes, num_heads=heads, qkv_hidden_sizes=[8, 8, 4])
    multi_head(w, batch, time, width, heads)
    grouped(w)


def multi_head(w, batch, time, width, heads):
    q, k, v = normal(batch, time, width), normal(batch, 6, width), normal(batch, 6, width)
    each = {"q": q, "k": k, "v": v}
    kind = "MultiHeadAttention"
    w.case("mha", kind, each, num_heads=heads)
    w.case("mha_bias", kind, each | {"bias": normal(3 * width)}, num_heads=heads)
    w.case("mha_scale", kind, each, num_heads=heads, scale=0.25)
    w.case("mha_key_lengths", kind, each | {"bias": None, "mask": np.array([4, 6], np.int32)}, num_heads=heads)
    keep = np.array([[1, 1, 1, 0, 0, 0], [1] * 6], np.int32)
    w.case("mha_key_mask", kind, each | {"bias": None, "mask": keep}, num_heads=heads)
    w.case("mha_attention_bias", kind, each | {"bias": None, "mask": None, "add": normal(1, heads, time, 6)},
           num_heads=heads)
    w.case("mha_wide_value", kind, each | {"v": normal(batch, 6, 12)}, num_heads=heads)
    same = {"q": q, "k": normal(batch, time, width), "v": normal(batch, time, width)}
    w.case("mha_causal", kind, same, num_heads=heads, unidirectional=1)
    past = [normal(batch, heads, 3, width // heads) for _ in range(2)]
    w.case("mha_past", kind,
           same | {"bias": None, "mask": None, "add": None, "past_key": past[0], "past_value": past[1]}, 3, num_heads=heads)
    transposed = {"q": q, "k": normal(batch, heads, 6, width // heads), "v": normal(batch, heads, 6, width // heads)}
    w.case("mha_cross_4d", kind, transposed, num_heads=heads)


def grouped(w):
    batch, heads, kv, size, room = 2, 4, 2, 16, 10
    kind = "GroupQueryAttention"

    def case(name, time, past, **extra):
        total = past + time
        inputs = {"q": normal(batch, time, heads * size), "k": normal(batch, time, kv * size),
                  "v": normal(batch, time, kv * size), "past_key": normal(batch, kv, past, size),
                  "past_value": normal(batch, kv, past, size), "last": np.full((batch,), total - 1, np.int32),
                  "total": np.array(total, np.int32)}
        inputs |= extra.pop("inputs", {})
        w.case(name, kind, inputs, 3, num_heads=heads, kv_num_heads=kv, **extra)

    case("gqa_prompt", 5, 0)
    case("gqa_decode", 1, 4)
    case("gqa_chunk", 3, 0, scale=0.2)
    case("gqa_window", 1, 6, local_window_size=3)
    case("gqa_softcap", 5, 0, softcap=2.0)
    tables = {"cos": normal(room, size // 2), "sin": normal(room, size // 2)}
    case("gqa_rotary_prompt", 5, 0, do_rotary=1, inputs=tables)
    case("gqa_rotary_decode", 1, 4, do_rotary=1, inputs=tables)
    case("gqa_rotary_interleaved", 1, 4, do_rotary=1, rotary_interleaved=1, inputs=tables)
    packed = {"q": normal(batch, 5, (heads + 2 * kv) * size), "k": None, "v": None}
    case("gqa_packed", 5, 0, inputs=packed)


def quantised_products(w):
    for bits, block in [(4, 16), (4, 32), (8, 32), (4, 64)]:
        rows, depth = 5, 64 if block < 64 else 96
        blocks = -(-depth // block)
        weights = u8(rows, blocks, block * bits // 8)
        scales = np.abs(normal(rows * blocks, scale=0.1)) + np.float32(0.01)
        base = {"a": normal(3, depth), "b": weights, "scales": scales}
        extra = {"K": depth, "N": rows, "bits": bits, "block_size": block}
        w.case(f"matmul_{bits}bits_block_{block}", "MatMulNBits", base, weights=("b", "scales"), **extra)
        zeros = u8(rows * -(-blocks * bits // 8))
        w.case(f"matmul_{bits}bits_block_{block}_zero_points", "MatMulNBits", base | {"zero_points": zeros},
               weights=("b", "scales", "zero_points"), **extra)
    a, b = normal(4, 6), i7(6, 5)
    w.case("dynamic_quantize_matmul", "DynamicQuantizeMatMul", {"a": a, "b": b, "scale": scalar(0.05)})
    w.case("dynamic_quantize_matmul_columns", "DynamicQuantizeMatMul",
           {"a": a, "b": b, "scale": np.abs(normal(5, scale=0.1)), "zero": i8(5), "bias": normal(5)})
    base = {"a": u8(4, 6), "b": i7(6, 5), "a_scale": scalar(0.02), "b_scale": scalar(0.05)}
    w.case("matmul_integer_to_float", "MatMulIntegerToFloat", base)
    w.case("matmul_integer_to_float_zeros", "MatMulIntegerToFloat",
           base | {"b_scale": np.abs(normal(5)), "a_zero": scalar(120, np.uint8), "b_zero": i8(5), "bias": normal(5)})


def quantised_elementwise(w):
    for suffix, make, dtype, zero in [("u8", u8, np.uint8, (120, 130, 100)), ("i8", i8, np.int8, (3, -5, 10))]:
        zeros = [scalar(z, dtype) for z in zero]

        def binary(a, b):
            return {"a": a, "a_scale": scalar(0.0517), "a_zero": zeros[0], "b": b, "b_scale": scalar(0.0293),
                    "b_zero": zeros[1], "y_scale": scalar(0.0811), "y_zero": zeros[2]}

        w.case(f"qlinear_add_{suffix}", "QLinearAdd", binary(make(2, 3, 8), make(2, 3, 8)))
        w.case(f"qlinear_add_broadcast_{suffix}", "QLinearAdd", binary(make(2, 3, 8), make(3, 1)))
        w.case(f"qlinear_mul_{suffix}", "QLinearMul", binary(make(2, 3, 8), make(8)))
        unary = {"x": make(3, 20), "x_scale": scalar(0.05), "x_zero": zeros[0], "y_scale": scalar(1 / 256),
                 "y_zero": scalar(0, dtype)}
        w.case(f"qlinear_sigmoid_{suffix}", "QLinearSigmoid", unary)
        w.case(f"qlinear_leaky_relu_{suffix}", "QLinearLeakyRelu", unary | {"y_scale": scalar(0.05)}, alpha=0.1)
        w.case(f"qlinear_softmax_{suffix}", "QLinearSoftmax", unary, axis=-1, opset=13)
        w.case(f"qlinear_softmax_axis_0_{suffix}", "QLinearSoftmax", unary, axis=0, opset=13)
        image = unary | {"x": make(1, 3, 8, 8), "y_scale": scalar(0.05), "y_zero": zeros[2]}
        w.case(f"qlinear_average_pool_{suffix}", "QLinearAveragePool", image, kernel_shape=[3, 3], strides=[2, 2],
               pads=[1, 1, 1, 1])
        w.case(f"qlinear_average_pool_padded_{suffix}", "QLinearAveragePool", image, kernel_shape=[3, 3],
               pads=[1, 1, 1, 1], count_include_pad=1)
        w.case(f"qlinear_global_average_pool_{suffix}", "QLinearGlobalAveragePool", image, channels_last=0)
        w.case(f"qlinear_concat_{suffix}", "QLinearConcat",
               {"y_scale": scalar(0.08), "y_zero": zeros[2], "a": make(2, 3), "a_scale": scalar(0.05),
                "a_zero": zeros[0], "b": make(2, 4), "b_scale": scalar(0.1), "b_zero": zeros[1]}, axis=1)


def main():
    writer = Writer(pathlib.Path(__file__).resolve().parent / "microsoft")
    for family in (activations, products, norms, embeddings, rotary, attention, quantised_products,
                   quantised_elementwise):
        family(writer)
    writer.finish()


if __name__ == "__main__":
    main()
