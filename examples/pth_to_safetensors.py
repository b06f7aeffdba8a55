#!/usr/bin/env python3
"""Rewrites a state dict that torch.save wrote as safetensors, for tsdl::load_state_dict.

    pth_to_safetensors.py MODEL.pth OUT.safetensors

Needs nothing but torch. The state dict may stand in a checkpoint, as "state_dict" or
"model_state_dict". Half-width floats become float32; integers (counters) are left out and named.
"""
import inspect
import json
import struct
import sys

import torch

if len(sys.argv) != 3:
    sys.exit(__doc__)
safe = {"weights_only": True} if "weights_only" in inspect.signature(torch.load).parameters else {}
state = torch.load(sys.argv[1], map_location="cpu", **safe)
for key in ("state_dict", "model_state_dict"):
    state = state.get(key, state) if isinstance(state, dict) else state
if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
    sys.exit(f"{sys.argv[1]}: not a state dict, which torch.save(model.state_dict(), ...) writes")
header, data = {"__metadata__": {"format": "pt"}}, bytearray()
for name, value in sorted(state.items(), key=lambda item: (item[1].dtype != torch.float64, item[0])):
    if not value.is_floating_point():
        print(f"{name}: left out, it is {value.dtype}", file=sys.stderr)
        continue
    dtype, code = ("F64", "d") if value.dtype == torch.float64 else ("F32", "f")
    begin = len(data)
    data += struct.pack(f"<{value.numel()}{code}", *value.flatten().tolist())
    header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": [begin, len(data)]}
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(sys.argv[2], "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
