"""The exercises on the command line: exercises, solution, check, reset, and the lab of a student's folder."""

from pathlib import Path


def lay_out_exercises(directory, seed=None) -> None:
    """Write the exercise notebooks and `my_llama`, and say what comes next; `seed` varies the numbers in some."""
    from ..classroom.my_llama.desk import write_exercises
    from ..classroom.my_llama.progress import in_words, upcoming

    print("\n".join(write_exercises(directory, seed)) or f"nothing to do: {directory} has them all")
    print(in_words(upcoming(directory), directory))


def show_solution(name, directory) -> None:
    """Print our solution of an exercise; of a transfer exercise, once it has passed in that folder."""
    from ..classroom import course
    from ..classroom.my_llama.package import seed_of
    from ..classroom.my_llama.progress import done, record_of

    passed = name in course.by_name() and done(course.by_name()[name][1], record_of(directory))
    print(course.solution(name, passed, seed_of(directory)))


def judge_exercises(directory, as_json, verbose) -> int:
    """Judge all exercises in a folder, say each as it is judged, and what comes next; 1 where one failed."""
    from ..classroom.my_llama.folder import Folder, counted
    from ..classroom.my_llama.progress import in_words

    folder, verdicts, lesson = Folder(directory), [], ""
    for verdict in folder.judge():
        verdicts.append(verdict)
        if as_json:
            continue
        if verdict.lesson != lesson:
            lesson = verdict.lesson
            print(lesson, flush=True)
        known = " (not judged again: nothing has changed)" if verbose and not verdict.anew else ""
        print(f"  {verdict}{known}", flush=True)
    if as_json:
        print(in_json(verdicts, folder))
    else:
        print(counted(verdicts), flush=True)
        print("\n".join([*folder.speech(), in_words(folder.following(), directory)]))
    return int(any(verdict.state == "failed" for verdict in verdicts))


def in_json(verdicts, folder) -> str:
    """The verdicts as one JSON object, with what the model says and what comes next."""
    import json
    from dataclasses import asdict

    exercises = [{key: value for key, value in asdict(each).items() if key != "anew"} for each in verdicts]
    told = {"exercises": exercises, "speech": folder.speech(), "next": folder.following()}
    return json.dumps(told, indent=1, ensure_ascii=False)


def put_back(name, directory) -> None:
    """Put an exercise back as it was handed out, and say where what stood there is kept."""
    from ..classroom.my_llama.handed_out import reset

    print("\n".join(reset(name, directory)))


def open_lab_of(directory, browser, port) -> int:
    """Open the lessons in JupyterLab; in a folder of exercises, the first notebook that is not done."""
    from ..lab import find_lessons, open_lab

    here = directory or (None if find_lessons()[1] else Path("."))
    notebook = first_to_do(here) if here else ""
    return open_lab(directory, browser=browser, port=port, notebook=notebook)


def first_to_do(directory) -> str:
    """The first exercise notebook in a folder that is not done, by its name; "" where a folder has no exercises."""
    if not (Path(directory) / "my_llama" / ".exercises.json").is_file() and not any(
        Path(directory).glob("*_exercises.ipynb")
    ):
        return ""  # asked without loading what knows the exercises
    from ..classroom.course import SUFFIX, lessons
    from ..classroom.my_llama.progress import upcoming

    following = upcoming(directory)
    names = [f"{lesson}{SUFFIX}.ipynb" for lesson in lessons()]
    there = [name for name in names if (Path(directory) / name).is_file()]
    first = following["notebook"] if following else ""
    return first if first in there else (there or [""])[0]
