#!/usr/bin/env python3
"""Writes tests/golden/ml: the operators of ai.onnx.ml as ONNX Runtime computes them; parameters as scikit-learn's
converters write them. Source of signatures: onnx/docs/Operators-ml.md."""
import pathlib

import numpy as np
from case_writer import Writer
from onnx import TensorProto, helper

random = np.random.default_rng(9)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


def strings(*values):
    return np.array(values, dtype=object)


def case(w, name, kind, inputs, outputs=1, version=3, **attributes):
    w.case(name, kind, inputs, outputs, domain="ai.onnx.ml", version=version, **attributes)


def preparation(w):
    x = normal(3, 4)
    case(w, "scaler", "Scaler", {"x": x}, offset=[0.1, 0.2, -0.3, 0.0], scale=[1.0, 2.0, 0.5, 3.0])
    case(w, "scaler_one", "Scaler", {"x": x}, offset=[0.1], scale=[2.0])
    case(w, "scaler_int64", "Scaler", {"x": np.arange(6).reshape(2, 3)}, offset=[1.0, 2.0, 3.0], scale=[0.5, 0.5, 0.5])
    for norm in ("MAX", "L1", "L2"):
        rows = np.vstack([x, np.zeros((1, 4), np.float32)])
        case(w, f"normalizer_{norm.lower()}", "Normalizer", {"x": rows}, norm=norm)
    case(w, "binarizer", "Binarizer", {"x": x}, threshold=0.25)
    with_gaps = np.array([[1, np.nan, 3], [np.nan, 5, 6]], np.float32)
    case(w, "imputer_nan", "Imputer", {"x": with_gaps}, imputed_value_floats=[7.0, 8.0, 9.0],
         replaced_value_float=float("nan"))
    case(w, "imputer_int64", "Imputer", {"x": np.array([[1, -1, 3]])}, imputed_value_int64s=[4],
         replaced_value_int64=-1)
    case(w, "array_feature_extractor", "ArrayFeatureExtractor", {"x": x, "at": np.array([[0, 2, 3]])})
    case(w, "feature_vectorizer", "FeatureVectorizer", {"a": normal(2, 3), "b": normal(2, 2)}, inputdimensions=[3, 2])
    case(w, "one_hot_int64", "OneHotEncoder", {"x": np.array([[1, 3], [2, 9]])}, cats_int64s=[1, 2, 3])
    case(w, "one_hot_float", "OneHotEncoder", {"x": np.array([1, 3, 2], np.float32)}, cats_int64s=[1, 2, 3], zeros=0)
    case(w, "one_hot_string", "OneHotEncoder", {"x": strings("b", "z")}, cats_strings=["a", "b", "c"])
    case(w, "category_mapper", "CategoryMapper", {"x": strings("cat", "dog", "cow")}, version=1,
         cats_strings=["cat", "dog"], cats_int64s=[10, 20], default_int64=-5)
    case(w, "category_mapper_back", "CategoryMapper", {"x": np.array([20, 10, 3])}, version=1,
         cats_strings=["cat", "dog"], cats_int64s=[10, 20], default_string="none")


def labels(w):
    case(w, "label_encoder_string_int64", "LabelEncoder", {"x": strings("b", "a", "q")}, keys_strings=["a", "b"],
         values_int64s=[7, 8], default_int64=-1)
    case(w, "label_encoder_int64_string", "LabelEncoder", {"x": np.array([[2, 1], [5, 2]])}, keys_int64s=[1, 2],
         values_strings=["one", "two"], default_string="many")
    case(w, "label_encoder_int64_float", "LabelEncoder", {"x": np.array([2, 1, 5])}, keys_int64s=[1, 2],
         values_floats=[0.5, 1.5], default_float=-0.5)
    case(w, "label_encoder_float_float", "LabelEncoder", {"x": np.array([0.5, np.nan, 3], np.float32)},
         keys_floats=[0.5, float("nan")], values_floats=[1.0, 2.0], default_float=9.0)
    case(w, "label_encoder_v1", "LabelEncoder", {"x": strings("b", "c", "q")}, version=1,
         classes_strings=["a", "b", "c"], default_int64=-1)
    case(w, "label_encoder_v4_tensor", "LabelEncoder", {"x": np.array([1.0, 2.0], np.float64)}, version=4,
         keys_tensor=helper.make_tensor("k", TensorProto.DOUBLE, [2], [1.0, 3.0]),
         values_tensor=helper.make_tensor("v", TensorProto.DOUBLE, [2], [10.0, 30.0]),
         default_tensor=helper.make_tensor("d", TensorProto.DOUBLE, [1], [-1.0]))
    x = normal(4, 3)
    for post in ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"):
        case(w, f"linear_classifier_{post.lower()}", "LinearClassifier", {"x": x}, 2, version=1,
             classlabels_ints=[5, 6, 7], coefficients=normal(9).tolist(), intercepts=[0.1, -0.1, 0.2], post_transform=post)
    case(w, "linear_classifier_binary", "LinearClassifier", {"x": x}, 2, version=1, classlabels_strings=["no", "yes"],
         coefficients=normal(3).tolist(), intercepts=[0.1], post_transform="LOGISTIC")
    case(w, "linear_classifier_two_rows", "LinearClassifier", {"x": x}, 2, version=1, classlabels_ints=[0, 1],
         coefficients=normal(6).tolist(), intercepts=[0.1, 0.3], post_transform="SOFTMAX")
    for post in ("NONE", "PROBIT", "LOGISTIC"):
        low = x * 0.1 + 0.4 if post == "PROBIT" else x
        case(w, f"linear_regressor_{post.lower()}", "LinearRegressor", {"x": low}, version=1,
             coefficients=[0.3, 0.2, 0.1], intercepts=[0.05], targets=1, post_transform=post)
    case(w, "linear_regressor_targets", "LinearRegressor", {"x": x}, version=1, coefficients=normal(6).tolist(),
         intercepts=[0.1, 0.2], targets=2)


def vectors(w):
    """Support vectors: a 3-class one-against-one SVC and a regression, with every kernel."""
    x = normal(4, 3)
    machine = {"support_vectors": normal(6, 3).ravel().tolist(), "vectors_per_class": [2, 3, 1],
               "coefficients": normal(12).tolist(), "rho": normal(3).tolist(), "kernel_params": [0.3, 0.5, 2.0]}
    for kernel in ("LINEAR", "RBF", "POLY", "SIGMOID"):
        case(w, f"svm_classifier_{kernel.lower()}", "SVMClassifier", {"x": x}, 2, version=1, classlabels_ints=[3, 4, 9],
             kernel_type=kernel, **machine)
        case(w, f"svm_regressor_{kernel.lower()}", "SVMRegressor", {"x": x}, version=1, kernel_type=kernel,
             kernel_params=machine["kernel_params"], support_vectors=machine["support_vectors"], n_supports=6,
             coefficients=normal(6).tolist(), rho=[0.2])
    case(w, "svm_classifier_probabilities", "SVMClassifier", {"x": x}, 2, version=1, classlabels_ints=[3, 4, 9],
         kernel_type="RBF", prob_a=[-1.0, -0.8, -1.2], prob_b=[0.1, 0.0, -0.1], **machine)
    two = {**machine, "vectors_per_class": [3, 3], "coefficients": normal(6).tolist(), "rho": [0.1]}
    case(w, "svm_classifier_binary_strings", "SVMClassifier", {"x": x}, 2, version=1, classlabels_strings=["a", "b"],
         kernel_type="RBF", **two)
    case(w, "svm_classifier_linear_mode", "SVMClassifier", {"x": x}, 2, version=1, classlabels_ints=[0, 1, 2],
         coefficients=normal(9).tolist(), rho=[0.1], kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0])
    case(w, "svm_regressor_one_class", "SVMRegressor", {"x": x}, version=1, kernel_type="RBF", one_class=1, rho=[0.2],
         kernel_params=machine["kernel_params"], support_vectors=machine["support_vectors"], n_supports=6,
         coefficients=normal(6).tolist())


def tree_nodes(trees, mode="BRANCH_LEQ", features=3):
    """`trees` full trees of depth 2: nodes 0 (root), 1, 2 (inner), 3..6 (leaves)."""
    nodes = {key: [] for key in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids",
                                 "missing_value_tracks_true")}
    for tree in range(trees):
        for node in range(7):
            inner = node < 3
            nodes["treeids"].append(tree)
            nodes["nodeids"].append(node)
            nodes["featureids"].append(int(random.integers(features)) if inner else 0)
            nodes["modes"].append(mode if inner else "LEAF")
            nodes["values"].append(round(float(random.standard_normal()), 2) if inner else 0.0)
            nodes["truenodeids"].append(2 * node + 1 if inner else 0)
            nodes["falsenodeids"].append(2 * node + 2 if inner else 0)
            nodes["missing_value_tracks_true"].append(node % 2 if inner else 0)
    return {f"nodes_{key}": value for key, value in nodes.items()}


def leaves(trees, prefix, classes):
    entries = [(tree, leaf, k) for tree in range(trees) for leaf in range(3, 7) for k in range(classes)]
    return {f"{prefix}_treeids": [e[0] for e in entries], f"{prefix}_nodeids": [e[1] for e in entries],
            f"{prefix}_ids": [e[2] for e in entries], f"{prefix}_weights": normal(len(entries)).tolist()}


def trees(w):
    x = normal(6, 3).round(2)
    x[1, 1] = np.nan
    for mode in ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"):
        case(w, f"tree_regressor_{mode[7:].lower()}", "TreeEnsembleRegressor", {"x": x}, n_targets=1,
             **tree_nodes(2, mode), **leaves(2, "target", 1))
    for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
        case(w, f"tree_regressor_{aggregate.lower()}", "TreeEnsembleRegressor", {"x": x}, n_targets=2,
             aggregate_function=aggregate, base_values=[0.5, -0.5], **tree_nodes(3), **leaves(3, "target", 2))
    for post in ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"):
        case(w, f"tree_classifier_{post.lower()}", "TreeEnsembleClassifier", {"x": x}, 2, classlabels_int64s=[4, 5, 6],
             post_transform=post, **tree_nodes(3), **leaves(3, "class", 3))
    case(w, "tree_classifier_binary", "TreeEnsembleClassifier", {"x": x}, 2, classlabels_strings=["no", "yes"],
         post_transform="LOGISTIC", **tree_nodes(3), **leaves(3, "class", 1))
    case(w, "tree_classifier_int64", "TreeEnsembleClassifier", {"x": random.integers(-2, 3, (4, 3))}, 2,
         classlabels_int64s=[0, 1, 2], **tree_nodes(2), **leaves(2, "class", 3))
    case(w, "tree_regressor_double", "TreeEnsembleRegressor", {"x": x.astype(np.float64)}, n_targets=1,
         **tree_nodes(2), **leaves(2, "target", 1))


def pipelines(w):
    """A classifier with ZipMap, as scikit-learn's converter writes it."""
    for suffix, extra in [("int64", {"classlabels_ints": [5, 6, 7]}),
                          ("string", {"classlabels_strings": ["a", "b", "c"]})]:
        zip_labels = {"classlabels_int64s": [5, 6, 7]} if suffix == "int64" else extra
        nodes = [helper.make_node("LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", multi_class=1,
                                  coefficients=normal(9).tolist(), intercepts=[0.1, -0.1, 0.2],
                                  post_transform="SOFTMAX", **extra),
                 helper.make_node("ZipMap", ["p"], ["probabilities"], domain="ai.onnx.ml", **zip_labels)]
        w.graph(f"zip_map_{suffix}", nodes, {"x": normal(2, 3)}, ["label", "probabilities"], 17, {"ai.onnx.ml": 1})


def main():
    writer = Writer(pathlib.Path(__file__).resolve().parent / "ml")
    for family in (preparation, labels, vectors, trees, pipelines):
        family(writer)
    writer.finish()


if __name__ == "__main__":
    main()
