#!/usr/bin/env python3
"""Checks ONNX files with ONNX's own checker and strict shape inference.

Run: check.py DIRECTORY, with Debian's python3-onnx. Each NAME.onnx in it has a NAME.json beside it,
as cases.cpp writes them. A damaged copy must be refused, too. Exits with 77 where there is no onnx.
"""
import json
import pathlib
import sys

try:
    import onnx
    from onnx import TensorProto, checker, shape_inference
except ImportError as error:
    print(f"skipped: {error} (Debian's python3-onnx has it)")
    sys.exit(77)


def dimensions(value):
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def check(path):
    case = json.loads(path.with_suffix(".json").read_text())
    model = onnx.load(str(path))
    checker.check_model(model, full_check=True)  # given a path, it would write inferred shapes there
    assert model.ir_version == 8 and [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    said = {entry.key: entry.value for entry in model.metadata_props}
    recipe = json.loads(said["tsdl.recipe"])
    assert json.loads(said["tsdl.columns"]) == recipe["columns"]
    assert json.loads(said["tsdl.class_values"]) == recipe["class_values"]
    assert model.producer_name == "tsdl" and model.producer_version == said["tsdl.version"]

    batch, length, inputs = case["shape"]
    raw = case["type"] == "float64"
    [features] = model.graph.input
    assert features.name == "features" and dimensions(features)[0] == "batch", features
    assert dimensions(features)[1:] in ([length, inputs], ["length", inputs]), features
    assert features.type.tensor_type.elem_type == (TensorProto.DOUBLE if raw else TensorProto.FLOAT)
    outputs = {output.name: dimensions(output) for output in model.graph.output}
    length_of = dimensions(features)[1]
    shapes = {name: [length_of] * (len(one["shape"]) - 1) + one["shape"][-1:] for name, one in case["expected"].items()}
    assert outputs == {name: ["batch", *shape] for name, shape in shapes.items()}, outputs
    task = json.loads(said["tsdl.task"])
    assert (task["kind"] in ("regression", "quantiles")) == ("prediction" in outputs), task
    for output in model.graph.output:
        wanted = TensorProto.DOUBLE if output.name == "prediction" else TensorProto.FLOAT
        assert output.type.tensor_type.elem_type == wanted, output

    # What is inferred of each tensor, from the input alone.
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    types = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    if raw:
        assert types["centred"] == types["scaled"] == TensorProto.DOUBLE, types
        assert types["scaled_features"] == TensorProto.FLOAT, types
    for output in inferred.graph.output:
        assert dimensions(output)[-1] == case["expected"][output.name]["shape"][-1], output


def check_refusal(path):
    for damage in ("axis", "gates", "name"):
        model = onnx.load(str(path))
        nodes = {node.op_type: node for node in model.graph.node}
        if damage == "axis":
            nodes["Transpose"].attribute[0].ints[0] = 7
        elif damage == "gates":
            nodes["LSTM"].attribute[0].name = "not_known"
        else:
            nodes["Gemm"].input[0] = "not_there"
        try:
            checker.check_model(model, full_check=True)
        except (checker.ValidationError, shape_inference.InferenceError):
            continue
        sys.exit(f"{path}: the checker takes a wrong {damage}")


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))
    if not paths:
        sys.exit(f"no ONNX files in {sys.argv[1]}")
    for path in paths:
        try:
            check(path)
        except Exception as error:
            sys.exit(f"{path}: {error}")
    check_refusal(next(path for path in paths if "lstm" in path.name))
    print(f"{len(paths)} files pass the checker of ONNX {onnx.__version__}")


if __name__ == "__main__":
    main()
