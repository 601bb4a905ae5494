"""The Python package: arrays in and out without copies, every dtype, sequences, errors, threads."""
import gc
import threading
import weakref

import numpy as np
import outpost
import pytest

import conftest as onnx


def test_calls_by_name_and_position(sums):
    session = outpost.Session(sums, threads=1)
    a, b = np.ones((2, 3), np.float32), np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(session(a=a, b=b)["twice"], 2 * (a + b))
    np.testing.assert_array_equal(session(a, b)["sum"], a + b)
    np.testing.assert_array_equal(session(a[:1], b=b[:1])["sum"], a[:1] + b[:1])  # another shape
    np.testing.assert_array_equal(session([[1, 2, 3]], [[1.5, 0, 0]])["sum"], [[2.5, 2, 3]])  # lists become the declared dtype


def test_too_many_inputs_are_a_mistake(sums):
    session = outpost.Session(sums, threads=1)
    x = np.ones((1, 3), np.float32)
    for call in (lambda: session(x, x, x), lambda: session(x, x, a=x)):
        with pytest.raises(TypeError):
            call()


def test_describes_the_model(sums, tmp_path):
    (tmp_path / "sums.onnx").write_bytes(sums)
    session = outpost.Session(tmp_path / "sums.onnx")
    assert session.inputs[0] == outpost.Value("a", "tensor", "f32", ("n", 3), "f32[n,3]")
    assert [v.name for v in session.outputs] == ["sum", "twice"]
    assert session.metadata == {"author": "a test"} and session.opsets == {"": 21} and session.name == "test"
    assert session.plan(a=(4, 3), b=(4, 3))["flops"] == 24
    assert "a: f32[n,3]" in repr(session)


def test_results_share_memory_and_outlive_the_session(sums):
    session = outpost.Session(sums, threads=1)
    ones = np.ones((1, 3), np.float32)
    first = session(ones, ones)["sum"]
    assert not first.flags.owndata
    second = session(2 * ones, ones)["sum"]
    del session
    gc.collect()
    np.testing.assert_array_equal(first, 2 * ones)
    np.testing.assert_array_equal(second, 3 * ones)


def test_inputs_are_let_go(sums):
    class Array(np.ndarray):
        pass
    session = outpost.Session(sums, threads=1)
    x = np.ones((1, 3), np.float32).view(Array)
    gone = weakref.ref(x)
    session(x, x)
    del x
    gc.collect()
    assert gone() is None


def test_outputs_given_are_written_to(sums):
    session = outpost.Session(sums, threads=1)
    ones, out = np.ones((1, 3), np.float32), np.zeros((1, 3), np.float32)
    results = session.run({"a": ones, "b": ones}, {"sum": out})
    assert results["sum"] is out and out[0, 2] == 2 and results["twice"][0, 0] == 4
    with pytest.raises(outpost.Error):
        session.run({"a": ones, "b": ones}, {"sum": np.zeros((2, 3), np.float32)})
    with pytest.raises((outpost.Error, ValueError, BufferError)):
        session.run({"a": ones, "b": ones}, {"sum": np.broadcast_to(np.float32(0), (1, 3))})


def test_bound_arguments(sums):
    session = outpost.Session(sums, threads=1)
    a, out = np.ones((1, 3), np.float32), np.zeros((1, 3), np.float32)
    bound = session.bind({"a": a, "b": a}, {"sum": out})
    bound()
    a[:] = 5
    assert bound()["sum"] is out and out[0, 0] == 10
    assert bound()["twice"][0, 0] == 20


@pytest.mark.parametrize("number, dtype", [
    (onnx.F32, "float32"), (onnx.U8, "uint8"), (onnx.I8, "int8"), (onnx.I32, "int32"), (onnx.I64, "int64"),
    (onnx.BOOL, "bool"), (onnx.F16, "float16"), (onnx.F64, "float64")])
def test_dtypes(identity, number, dtype):
    session = outpost.Session(identity(number, ["n", "m"]))
    for x in (np.array([[0, 1, 2], [3, 0, 1]]).astype(dtype), np.zeros((0, 4), dtype), np.ones((4, 6), dtype)[::2, ::3]):
        y = session(x=x)["y"]
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(y, x)


def test_scalars(identity):
    for number, dtype in ((onnx.F32, np.float32), (onnx.I64, np.int64)):
        y = outpost.Session(identity(number, []))(x=dtype(7))["y"]
        assert y.shape == () and y.dtype == dtype and y == 7


def test_big_endian_arrays_are_turned(identity):
    x = np.arange(3, dtype=">f4")
    np.testing.assert_array_equal(outpost.Session(identity(onnx.F32))(x=x)["y"], x)


@pytest.mark.parametrize("number, name", [(onnx.BF16, "bfloat16"), (onnx.F8E4M3FN, "float8_e4m3fn"), (onnx.I4, "int4"), (onnx.U4, "uint4")])
def test_narrow_dtypes(identity, number, name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    session = outpost.Session(identity(number))
    x = np.array([0, 1, 2, 7, 5], np.float32).astype(getattr(ml_dtypes, name))
    y = session(x=x)["y"]
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y.astype(np.float32), x.astype(np.float32))


def test_signed_nibbles(identity):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.array([-8, -1, 7, 3, -5], np.int8).astype(ml_dtypes.int4)
    np.testing.assert_array_equal(outpost.Session(identity(onnx.I4))(x=x)["y"].astype(np.int8), x.astype(np.int8))


def test_strings(identity):
    session = outpost.Session(identity(onnx.STRING))
    assert session(x=["edge", "ü"])["y"].tolist() == ["edge", "ü"]
    assert session(x=np.array(["a", "b"]))["y"].tolist() == ["a", "b"]


def test_sequences(pair):
    session = outpost.Session(pair)
    s = session(a=[1, 2], b=[3])["s"]
    assert [x.tolist() for x in s] == [[1, 2], [3]]


def test_dlpack(sums):
    class Foreign:  # an array of another library
        def __init__(self, array):
            self.array = array
        def __dlpack__(self, **_):
            return self.array.__dlpack__()
        def __dlpack_device__(self):
            return self.array.__dlpack_device__()
    session = outpost.Session(sums, threads=1)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(session(Foreign(x), Foreign(x))["sum"], 2 * x)
    y = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(session(Foreign(y.T), Foreign(x))["sum"], y.T + x)  # strided
    tensors = session.run({"a": x, "b": x}, as_tensors=True)
    out = np.from_dlpack(tensors["sum"])
    del tensors
    gc.collect()
    np.testing.assert_array_equal(out, 2 * x)


def test_errors_say_what_and_which_kind(sums, tmp_path):
    session = outpost.Session(sums)
    x = np.ones((1, 3), np.float32)
    for call, code, words in [
            (lambda: session(a=x), "invalid_argument", "input 'b' is missing"),
            (lambda: session(a=x, b=x, c=x), "not_found", "no input 'c'"),
            (lambda: session(a=x, b=x.astype(np.float64)), "invalid_argument", "expects f32[n,3]"),
            (lambda: session.run({"a": x, "b": x}, memory_limit=1), "limit", "memory limit"),
            (lambda: session.run({"a": x, "b": x}, timeout=1e-9), "deadline", "deadline"),
            (lambda: outpost.Session(tmp_path / "none.onnx"), "not_found", "none.onnx"),
            (lambda: outpost.Session(b"nonsense"), "invalid_model", "model"),
            (lambda: outpost.Session(sums, precision="f7"), "invalid_argument", "f7")]:
        with pytest.raises(outpost.Error, match=words.replace("[", r"\[")) as caught:
            call()
        assert caught.value.code == code
    with pytest.raises(outpost.Error):
        session(a=x, b=x.astype("datetime64[s]"))


def test_threads_share_a_session(sums):
    session = outpost.Session(sums, threads=1)
    wrong = []

    def work(i):
        x = np.full((8, 3), i, np.float32)
        for _ in range(50):
            if not (session(x, x)["twice"] == 4 * i).all():
                wrong.append(i)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_states_are_made_and_kept(sums):
    session = outpost.Session(sums)
    state = session.new_state(seed=3)
    assert state.names == [] and state.random == (3, 0)
    state.random = (4, 8)
    assert state.random == (4, 8)
    session.run({"a": [[1, 2, 3]], "b": [[1, 2, 3]]}, state=state)
