#!/usr/bin/env python3
"""Rewrites a safetensors file, such as a model file of tsdl, as a state dict for torch.load.

    safetensors_to_pth.py MODEL.safetensors OUT.pth

Needs nothing but torch: who has the safetensors package calls safetensors.torch.load_file instead.
"""
import json
import struct
import sys

import torch

if len(sys.argv) != 3:
    sys.exit(__doc__)
with open(sys.argv[1], "rb") as file:
    header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    data = bytearray(file.read())
header.pop("__metadata__", None)
state = {}
for name, entry in header.items():
    begin, end = entry["data_offsets"]
    dtype = {"F32": torch.float32, "F64": torch.float64}[entry["dtype"]]
    values = torch.frombuffer(data[begin:end], dtype=dtype)
    state[name] = values.reshape(entry["shape"])
torch.save(state, sys.argv[2])
