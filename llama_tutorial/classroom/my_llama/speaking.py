"""The model made of a student's parts speaks, in a process of its own that counts how often each of them runs.

This file is also the program of that process, and so imports nothing of ours up here: once the whole course is the
student's, `llama_tutorial` cannot be imported in it.
"""

import hashlib
import json
import os
import subprocess
import sys

PROMPT, TOKENS, SECONDS = "The for statement", 10, 120


def speech(folder, record: dict) -> list[str]:
    """What the model in the student's `my_llama` says, and how often each part of theirs ran; as lines to print.

    Once every part of the course is theirs, it speaks where nothing of ours can be imported, and that is told.
    """
    from ..course import lessons
    from ..course.pieces import homes
    from .judging import package_path
    from .package import complete

    exercises = [exercise for here in lessons().values() for exercise in here if exercise.exported]
    places = [(homes()[exercise.name.split(".")[0]], exercise.name) for exercise in exercises]
    theirs = [place for place in places if place[1].split(".")[0] in record["kept"].get(place[0], {})]
    alone = complete(record)
    asked = json.dumps({"theirs": theirs, "alone": alone})
    environment = os.environ | {"PYTHONPATH": package_path(), "PYTHONIOENCODING": "utf-8"}
    try:
        done = subprocess.run(
            [sys.executable, __file__, asked], cwd=folder.parent, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, encoding="utf-8", timeout=SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [f"It did not come to speak within {SECONDS} s."]
    if done.returncode:
        return [f"It cannot speak yet: {(done.stderr.strip() or 'its process ended').splitlines()[-1]}"]
    said = json.loads(done.stdout)
    calls = {name: times for name, times in said["calls"].items() if times}
    ran = [f"your {name} " + (f"{times} times" if times > 1 else "once") for name, times in calls.items()]
    told = ["  " + line for line in said["text"].splitlines()]
    told.append(f"Calls for these {TOKENS} tokens: {', '.join(ran) or 'none of your parts'}.")
    if alone:
        told.append(
            "my_llama needs nothing of ours any more: this was said by a process in which llama_tutorial cannot be "
            "imported. The folder is yours to take along."
        )
    return told


def spoken(folder, record: dict, remembered) -> list[str]:
    """The same; what the same parts have said is not asked again."""
    parts = hashlib.sha256(json.dumps(record["kept"], sort_keys=True).encode()).hexdigest()[:32]
    key = f"speech {parts} {(folder / 'assets').is_dir()}"
    if key not in remembered.found:
        lines = speech(folder, record)
        if any(line.startswith("  ") for line in lines):
            remembered.found[key] = {"lines": lines}
            remembered.write()
        else:
            remembered.certain = False
        return lines
    return remembered.found[key]["lines"]


def _main(asked: dict) -> dict:
    """In the process: let the model in ./my_llama speak, and count."""
    import contextlib
    import inspect
    import io
    from importlib import import_module

    sys.path[0] = os.getcwd()
    if asked["alone"]:
        sys.modules["llama_tutorial"] = None
        for file in sorted(os.listdir("my_llama")):
            if file.endswith(".py"):
                import_module("my_llama" if file == "__init__.py" else f"my_llama.{file.removesuffix('.py')}")
    from my_llama import talk

    codes, calls = {}, {}
    for module, name in asked["theirs"]:
        head, _, method = name.partition(".")
        owner = getattr(import_module(f"my_llama.{module}"), head)
        code = getattr(inspect.unwrap(getattr(owner, method, owner) if method else owner), "__code__", None)
        codes[code], calls[name] = name, 0

    def count(frame, event, argument):
        if event == "call" and frame.f_code in codes:
            calls[codes[frame.f_code]] += 1

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        sys.setprofile(count)
        try:
            talk(PROMPT, TOKENS)
        finally:
            sys.setprofile(None)
    return {"text": printed.getvalue().strip(), "calls": calls}


if __name__ == "__main__":
    print(json.dumps(_main(json.loads(sys.argv[1]))))
