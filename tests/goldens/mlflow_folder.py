"""MLflow's folder format through PyYAML, for tests/track/mlflow/folder_yaml.cpp.

    mlflow_folder.py read DIRECTORY     checks each meta.yaml and MLmodel below DIRECTORY
    mlflow_folder.py write DIRECTORY    makes an experiment for each line of DIRECTORY/names

What is expected stands in the file DIRECTORY.expected: lines of a path, a key, a type, and the value
as hex of its UTF-8. A line of `names` is an id and such a hex. Exit status: 0 when all is well, 2
when not, 77 when PyYAML is not installed.
"""
import os
import sys

try:
    import yaml
except ImportError:
    sys.exit(77)


def text(value):
    return "" if value is None else str(value)


def read(directory):
    wrong = 0
    read_before = {}
    with open(directory + ".expected") as lines:
        for line in lines:
            path, key, kind, value = line.rstrip("\n").rsplit(" ", 3)
            if path not in read_before:
                with open(os.path.join(directory, path), encoding="utf-8", newline="") as file:
                    read_before[path] = yaml.safe_load(file)
            found = read_before[path][key]
            expected = bytes.fromhex(value).decode("utf-8")
            if type(found).__name__ != kind or text(found) != expected:
                print(f"{path}: {key}: {found!r} is not the {kind} {expected!r}", file=sys.stderr)
                wrong += 1
    return 2 if wrong else 0


def write(directory):
    with open(os.path.join(directory, "names")) as lines:
        for line in lines:
            number, name = line.rstrip("\n").split(" ")
            os.mkdir(os.path.join(directory, number))
            meta = {
                "artifact_location": "file:///somewhere/else/" + number,
                "creation_time": 1700000000000,
                "experiment_id": number,
                "last_update_time": 1700000000000,
                "lifecycle_stage": "active",
                "name": bytes.fromhex(name).decode("utf-8"),
            }
            path = os.path.join(directory, number, "meta.yaml")
            with open(path, "w", encoding="utf-8", newline="") as file:
                yaml.safe_dump(meta, file, default_flow_style=False, allow_unicode=True)
    return 0


if __name__ == "__main__":
    sys.exit({"read": read, "write": write}[sys.argv[1]](sys.argv[2]))
